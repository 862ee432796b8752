//! The drawing: what the control plane is made of and what needs what, from top to bottom, coloured by state.
//!
//! Resources of one part in one place (the files of etcd, say) are one box with a square each, and a box stands below those that it needs. What
//! already follows from other lines is not drawn: a hundred and fifty resources are some twenty boxes and thirty lines.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::escape;
use crate::status::parts::Layer;
use crate::status::{Resource, State};

/// The most boxes side by side.
const ROW_MAX: usize = 5;
/// Sizes in pixels.
const WIDTH: usize = 156;
const GAP: usize = 20;
const ROW_GAP: usize = 34;
const HEAD: usize = 24;
const MARGIN: usize = 14;
const SQUARE: usize = 11;
const STEP: usize = 13;
const SQUARES: usize = 11;

struct Cell<'a> {
    part: &'a str,
    layer: Layer,
    resources: Vec<&'a Resource>,
}

impl Cell<'_> {
    fn height(&self) -> usize {
        HEAD + 6 + self.resources.len().div_ceil(SQUARES) * STEP
    }

    fn worst(&self) -> State {
        self.resources.iter().map(|resource| resource.state).max().unwrap_or(State::InSync)
    }
}

/// A box's upper left corner.
#[derive(Clone, Copy, Default)]
struct Place {
    x: usize,
    y: usize,
}

/// The drawing as SVG.
#[must_use]
pub fn drawing(resources: &[Resource]) -> String {
    let cells = cells(resources);
    let edges = reduced(&edges(&cells), cells.len());
    let rows = rows(&cells, &edges);
    let widest = rows.iter().map(Vec::len).max().unwrap_or(1);
    let width = 2 * MARGIN + widest * WIDTH + (widest - 1) * GAP;
    let mut places = vec![Place::default(); cells.len()];
    let mut y = MARGIN;
    for row in &rows {
        let x = (width - (row.len() * WIDTH + (row.len() - 1) * GAP)) / 2;
        for (index, cell) in row.iter().enumerate() {
            places[*cell] = Place { x: x + index * (WIDTH + GAP), y };
        }
        y += row.iter().map(|cell| cells[*cell].height()).max().unwrap_or(0) + ROW_GAP;
    }
    let height = y + MARGIN - ROW_GAP.min(y);
    let mut svg = format!(
        "<svg class=\"map\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"What needs what\">"
    );
    for (need, cell) in &edges {
        line(&mut svg, places[*need], cells[*need].height(), places[*cell], cells[*cell].worst() == State::Held);
    }
    for (cell, place) in cells.iter().zip(&places) {
        draw(&mut svg, cell, *place);
    }
    svg + "</svg>"
}

fn line(svg: &mut String, from: Place, height: usize, to: Place, held: bool) {
    let (x1, y1, x2, y2) = (from.x + WIDTH / 2, from.y + height, to.x + WIDTH / 2, to.y);
    let bend = (y2.saturating_sub(y1) / 2).max(12);
    let class = if held { " class=\"warn\"" } else { "" };
    let _ =
        write!(svg, "<path{class} d=\"M{x1} {y1}C{x1} {} {x2} {} {x2} {y2}\"/>", y1 + bend, y2.saturating_sub(bend));
}

fn draw(svg: &mut String, cell: &Cell<'_>, place: Place) {
    let (Place { x, y }, height, worst) = (place, cell.height(), cell.worst());
    let _ = write!(
        svg,
        "<rect class=\"box {}\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\
         <text x=\"{}\" y=\"{}\">{}</text><text class=\"n\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        worst.class(),
        x + 8,
        y + 17,
        escape(title(cell.part)),
        x + WIDTH - 8,
        y + 17,
        cell.layer.name(),
    );
    for (index, resource) in cell.resources.iter().enumerate() {
        let (x, y) = (x + 8 + index % SQUARES * STEP, y + HEAD + index / SQUARES * STEP);
        let message = if resource.message.is_empty() { String::new() } else { format!(": {}", resource.message) };
        let _ = write!(
            svg,
            "<rect class=\"d {}\" x=\"{x}\" y=\"{y}\" width=\"{SQUARE}\" height=\"{SQUARE}\" rx=\"2\"><title>{}, {}{}</title></rect>",
            resource.state.class(),
            escape(&resource.id),
            resource.state.word(),
            escape(&message),
        );
        if resource.state != State::InSync {
            let _ = write!(svg, "<text class=\"g\" x=\"{}\" y=\"{}\">{}</text>", x + 5, y + 9, resource.state.sign());
        }
    }
}

/// Names that are longer than a box is wide.
fn title(part: &str) -> &str {
    match part {
        "kube-controller-manager" => "controller-mgr",
        other => other,
    }
}

/// Boxes in the order in which their first resources come.
fn cells(resources: &[Resource]) -> Vec<Cell<'_>> {
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for resource in resources {
        let layer = Layer::of(&resource.id);
        match cells.iter_mut().find(|cell| cell.part == resource.part && cell.layer == layer) {
            Some(cell) => cell.resources.push(resource),
            None => cells.push(Cell { part: &resource.part, layer, resources: vec![resource] }),
        }
    }
    cells
}

/// Which boxes need which: the one that is needed first.
fn edges(cells: &[Cell<'_>]) -> BTreeSet<(usize, usize)> {
    let mut home = std::collections::BTreeMap::new();
    for (index, cell) in cells.iter().enumerate() {
        home.extend(cell.resources.iter().map(|resource| (resource.id.as_str(), index)));
    }
    let mut edges = BTreeSet::new();
    for (index, cell) in cells.iter().enumerate() {
        let needs = cell.resources.iter().flat_map(|resource| &resource.needs);
        edges.extend(needs.filter_map(|need| home.get(need.as_str()).map(|need| (*need, index))));
    }
    edges.retain(|(need, cell)| need != cell);
    edges
}

/// The same without the lines that follow from others.
fn reduced(edges: &BTreeSet<(usize, usize)>, count: usize) -> BTreeSet<(usize, usize)> {
    let mut reach: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for (need, cell) in edges {
        reach[*need].insert(*cell);
    }
    for via in 0..count {
        let further = reach[via].clone();
        for from in &mut reach {
            if from.contains(&via) {
                from.extend(&further);
            }
        }
    }
    let longer = |need: usize, cell: usize| {
        (0..count).any(|via| {
            via != need
                && via != cell
                && reach[need].contains(&via)
                && reach[via].contains(&cell)
                && !reach[via].contains(&need)
        })
    };
    edges.iter().copied().filter(|(need, cell)| !longer(*need, *cell)).collect()
}

/// Boxes row by row, each below all that it needs, and in a row below those that it needs.
fn rows(cells: &[Cell<'_>], edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut depths = vec![0; cells.len()];
    // Boxes that need each other would go down for ever.
    for _ in 0..cells.len() {
        for (need, cell) in edges {
            depths[*cell] = depths[*cell].max((depths[*need] + 1).min(cells.len() - 1));
        }
    }
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut columns = vec![0; cells.len()];
    for depth in 0..=depths.iter().copied().max().unwrap_or(0) {
        let mut row: Vec<usize> = (0..cells.len()).filter(|cell| depths[*cell] == depth).collect();
        row.sort_by_key(|cell| {
            let above: Vec<usize> = edges.iter().filter(|(_, to)| to == cell).map(|(need, _)| columns[*need]).collect();
            (above.iter().sum::<usize>() / above.len().max(1), *cell)
        });
        for (index, cell) in row.iter().enumerate() {
            columns[*cell] = (2 * index + 1) * 1000 / (2 * row.len());
        }
        rows.extend(row.chunks(ROW_MAX).map(<[usize]>::to_vec));
    }
    rows
}

impl State {
    /// The class of its colour.
    #[must_use]
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::InSync => "ok",
            Self::Waiting | Self::Pending => "wait",
            Self::Drifted | Self::Held => "warn",
            Self::Refused | Self::Failed => "bad",
            Self::Unknown => "none",
        }
    }

    /// The sign that tells it apart where colours do not.
    const fn sign(self) -> &'static str {
        match self {
            Self::InSync => "",
            Self::Waiting => ".",
            Self::Pending => "~",
            Self::Drifted => "!",
            Self::Held => "=",
            Self::Unknown => "?",
            Self::Refused => "x",
            Self::Failed => "X",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(id: &str, part: &str, needs: &[&str]) -> Resource {
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        Resource { id: id.into(), part: part.into(), state: State::InSync, message: String::new(), needs }
    }

    #[test]
    fn a_box_stands_below_those_that_it_needs_and_what_follows_is_not_drawn() {
        let resources = [
            resource("file:a", "a", &[]),
            resource("file:b", "b", &["file:a"]),
            resource("file:c", "c", &["file:b", "file:a"]),
        ];
        let cells = cells(&resources);
        let edges = reduced(&edges(&cells), cells.len());
        assert_eq!(edges, BTreeSet::from([(0, 1), (1, 2)]));
        assert_eq!(rows(&cells, &edges), [[0], [1], [2]]);
    }

    #[test]
    fn resources_that_need_each_other_are_drawn_all_the_same() {
        let resources = [resource("file:a", "a", &["file:b"]), resource("file:b", "b", &["file:a"])];
        assert_eq!(drawing(&resources).matches("class=\"box").count(), 2);
        assert!(drawing(&[]).ends_with("</svg>"));
    }

    #[test]
    fn what_resources_are_called_cannot_end_the_drawing() {
        let svg = drawing(&[resource("file:</title><script>", "a<b", &[])]);
        assert!(!svg.contains("<script") && svg.contains("a&lt;b"), "{svg}");
    }
}
