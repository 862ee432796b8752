//! Strategic merge patches: `strategicpatch` of Kubernetes' apimachinery, for a patch that a person wrote.
//!
//! Objects are merged, null removes a field, lists are merged where the API says so ([`super::schema`]). Directives in
//! the patch change that: `$patch: replace|delete`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST` and
//! `$retainKeys`. The order of a merged list is the API server's: items of the patch keep their order, items that only
//! the original has keep theirs, and where both orders leave a choice an item of the patch comes first.

use super::json::without_nulls;
use serde_json::{Map, Value};

use super::schema::{ListMerge, MergeSchema};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Merges a patch into an object.
pub(super) fn merge(schema: MergeSchema, original: Object, patch: Object) -> Result<Object, String> {
    Merger { schema, path: Vec::new() }.objects(original, patch)
}

struct Merger {
    schema: MergeSchema,
    /// The fields from the root to here.
    path: Vec<String>,
}

impl Merger {
    fn objects(&mut self, mut original: Object, mut patch: Object) -> Result<Object, String> {
        match patch.get(PATCH).map(Value::as_str) {
            None => {}
            Some(Some("replace")) => {
                patch.remove(PATCH);
                return Ok(patch);
            }
            Some(Some("delete")) => return Ok(Object::new()),
            Some(_) => return Err(self.wrong("$patch of an object is replace or delete")),
        }
        self.retain_keys(&mut original, &mut patch)?;
        self.set_orders(&mut original, &mut patch)?;
        for (field, change) in patch {
            match field.strip_prefix(DELETE_FROM) {
                Some(list) => delete_from(&mut original, list, &change),
                None => self.field(&mut original, field, change)?,
            }
        }
        Ok(original)
    }

    /// Merges one field that is not a directive.
    fn field(&mut self, original: &mut Object, field: String, change: Value) -> Result<(), String> {
        if change.is_null() {
            original.remove(&field);
            return Ok(());
        }
        self.path.push(field.clone());
        let merged = match (original.remove(&field), change) {
            (Some(Value::Object(before)), Value::Object(change)) => Some(Value::Object(self.objects(before, change)?)),
            (Some(Value::Array(before)), Value::Array(change)) => Some(Value::Array(self.lists(before, change)?)),
            (_, change) => without_directives(without_nulls(change)),
        };
        self.path.pop();
        if let Some(merged) = merged {
            original.insert(field, merged);
        }
        Ok(())
    }

    fn lists(&mut self, original: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, String> {
        match self.schema.list(&self.path) {
            ListMerge::Replace => Ok(patch),
            ListMerge::Union => {
                let mut merged = original.clone();
                for item in &patch {
                    if !merged.contains(item) {
                        merged.push(item.clone());
                    }
                }
                Ok(in_order(merged, &patch, &original, |item| item))
            }
            ListMerge::ByKey(key) => self.keyed_lists(original, patch, key),
        }
    }

    fn keyed_lists(&mut self, mut original: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<Vec<Value>, String> {
        if original.iter().chain(&patch).any(|item| !item.is_object()) {
            return Err(self.wrong("every item of this list is an object"));
        }
        let mut changes = Vec::new();
        let mut replace = false;
        for item in patch {
            match item.get(PATCH).map(Value::as_str) {
                None => changes.push(item),
                Some(Some("replace")) => replace = true,
                Some(Some("delete")) => {
                    let gone = item.get(key).ok_or_else(|| self.no_key(key))?;
                    original.retain(|item| item.get(key) != Some(gone));
                }
                Some(_) => return Err(self.wrong("$patch of an item is replace or delete")),
            }
        }
        if replace {
            (original, changes) = (changes, Vec::new());
        }
        let mut merged = original.clone();
        for change in &changes {
            let wanted = change.get(key).ok_or_else(|| self.no_key(key))?;
            let found = merged.iter_mut().find(|item| item.get(key) == Some(wanted));
            match (found, change) {
                (Some(Value::Object(before)), Value::Object(change)) => {
                    *before = self.objects(std::mem::take(before), change.clone())?;
                }
                _ => merged.push(change.clone()),
            }
        }
        if merged.iter().any(|item| item.get(key).is_none()) {
            return Err(self.no_key(key));
        }
        Ok(in_order(merged, &changes, &original, |item| &item[key]))
    }

    /// `$retainKeys`: of the original's fields only those stay.
    fn retain_keys(&self, original: &mut Object, patch: &mut Object) -> Result<(), String> {
        let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
        let keys = keys.as_array().ok_or_else(|| self.wrong("$retainKeys is a list"))?;
        let kept = |field: &str| keys.iter().any(|key| key == field);
        let directive = |field: &str| field.starts_with(DELETE_FROM) || field.starts_with(SET_ORDER);
        if let Some((field, _)) = patch.iter().find(|(field, v)| !v.is_null() && !directive(field) && !kept(field)) {
            return Err(self.wrong(&format!("the patch sets {field:?}, which its $retainKeys leaves out")));
        }
        original.retain(|field, _| kept(field));
        Ok(())
    }

    /// `$setElementOrder/LIST`: merges those lists and puts them in that order.
    fn set_orders(&mut self, original: &mut Object, patch: &mut Object) -> Result<(), String> {
        let orders: Vec<String> = patch.keys().filter(|field| field.starts_with(SET_ORDER)).cloned().collect();
        for directive in orders {
            let list = directive[SET_ORDER.len()..].to_owned();
            let order = patch.remove(&directive).unwrap_or_default();
            self.path.push(list.clone());
            let order = self.items(order)?;
            let before = original.get(&list).cloned().map(|items| self.items(items)).transpose()?;
            let change = patch.remove(&list).map(|items| self.items(items)).transpose()?;
            if let Some(ordered) = self.set_order(&order, before, change)? {
                original.insert(list, Value::Array(ordered));
            }
            self.path.pop();
        }
        Ok(())
    }

    fn set_order(
        &mut self,
        order: &[Value],
        before: Option<Vec<Value>>,
        change: Option<Vec<Value>>,
    ) -> Result<Option<Vec<Value>>, String> {
        let key = match self.schema.list(&self.path) {
            ListMerge::ByKey(key) => Some(key),
            ListMerge::Union | ListMerge::Replace => None,
        };
        let identity = |item: &Value| key.map_or_else(|| item.clone(), |key| item[key].clone());
        let mut places = order.iter().map(identity);
        let kept = change.iter().flatten().filter(|item| item.get(PATCH).and_then(Value::as_str) != Some("delete"));
        if !kept.map(identity).all(|item| places.any(|place| place == item)) {
            return Err(self.wrong("$setElementOrder does not have the patch's items in their order"));
        }
        let merged = match (&before, change) {
            (None, None) => return Ok(None),
            (Some(before), None) => before.clone(),
            (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
            (Some(before), Some(change)) => self.lists(before.clone(), change)?,
        };
        let before = before.unwrap_or_default();
        Ok(Some(match key {
            Some(key) => in_order(merged, order, &before, |item| &item[key]),
            None => in_order(merged, order, &before, |item| item),
        }))
    }

    fn items(&self, value: Value) -> Result<Vec<Value>, String> {
        match value {
            Value::Array(items) => Ok(items),
            _ => Err(self.wrong("must be a list")),
        }
    }

    fn no_key(&self, key: &str) -> String {
        self.wrong(&format!("every item needs {key:?}, by which items are told apart"))
    }

    fn wrong(&self, what: &str) -> String {
        if self.path.is_empty() { what.to_owned() } else { format!("{}: {what}", self.path.join(".")) }
    }
}

/// Takes plain values out of a list of the original.
fn delete_from(original: &mut Object, list: &str, gone: &Value) {
    match (original.get_mut(list), gone) {
        (Some(Value::Array(items)), Value::Array(gone)) => items.retain(|item| !gone.contains(item)),
        (Some(_), Value::Null) => {
            original.remove(list);
        }
        _ => {}
    }
}

/// Orders a merged list: those in `patch` by it, the others by `original`; then the two into one, an item of the
/// original before one of the patch only where the original has them so.
fn in_order<'a>(
    merged: Vec<Value>,
    patch: &'a [Value],
    original: &'a [Value],
    identity: impl Fn(&Value) -> &Value,
) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| identity(other) == identity(item));
    let (mut from_patch, mut from_original): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(patch, item).is_some());
    from_patch.sort_by_key(|item| place(patch, item));
    from_original.sort_by_key(|item| place(original, item));
    let mut ordered = Vec::with_capacity(from_patch.len() + from_original.len());
    let (mut left, mut right) = (from_original.into_iter().peekable(), from_patch.into_iter().peekable());
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        let left_is_first = matches!((place(original, l), place(original, r)), (Some(l), Some(r)) if l < r);
        ordered.extend(if left_is_first { left.next() } else { right.next() });
    }
    ordered.extend(left);
    ordered.extend(right);
    ordered
}

/// A value without the objects in it that are directives; `None` where it is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(PATCH) => None,
        Value::Object(fields) => {
            let kept = fields.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}
