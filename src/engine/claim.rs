//! Whose a control plane without a record is, before the first change of it.

use crate::cluster::Cluster;
use crate::host::Host;
use crate::observed::ObserveError;
use crate::origin::Origin;
use crate::plan::Plan;

use super::look;

/// Whether a control plane may be planekeeper's.
pub enum Claim {
    /// It may, and this is to be remembered of it.
    May {
        /// Where it comes from.
        origin: Origin,
        /// There is something to do, for which the host has to be ready.
        work: bool,
    },
    /// It may, once a person has brought what planekeeper cannot make: certificates of a CA whose key is elsewhere, say.
    Incomplete(Box<Plan>),
    /// It is somebody else's, and differs from what is wanted as planned.
    Foreign(Box<Plan>),
}

/// Finds out whose control plane a host has. One that is somebody else's is changed only by who was asked to adopt it; where there is
/// nothing to change, there is nothing to ask. A bare one for which a person has to do something is not begun with.
///
/// # Errors
/// The host could not be read.
pub fn claim<H: Host + ?Sized>(
    host: &H,
    cluster: &Cluster,
    last_good: Option<&Cluster>,
    adopt: bool,
) -> Result<Claim, ObserveError> {
    let facts = host.facts(cluster)?;
    if !facts.adopted {
        // Without a CA that somebody has brought, everything can be made.
        if facts.ca_certificate.is_some() {
            let plan = look(host, cluster, last_good)?.plan;
            if !plan.refused.is_empty() {
                return Ok(Claim::Incomplete(Box::new(plan)));
            }
        }
        return Ok(Claim::May { origin: Origin::SetUp, work: true });
    }
    let plan = look(host, cluster, last_good)?.plan;
    if !adopt && (plan.changes().next().is_some() || !plan.settled()) {
        return Ok(Claim::Foreign(Box::new(plan)));
    }
    Ok(Claim::May { origin: Origin::Adopted, work: !plan.steps.is_empty() })
}
