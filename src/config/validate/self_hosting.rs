//! What a control plane that runs in its own Pods needs of the rest of the configuration.

use std::net::IpAddr;

use super::super::report::Report;
use crate::cluster::{ControlPlaneComponent, NodeRegistration};

/// Where the components are, with what they have in the configuration.
type Component<'a> = (&'static str, &'a ControlPlaneComponent);

/// Says what a self-hosted control plane could not come up, or not stay up, with.
pub fn check(
    components: [Component<'_>; 3],
    node: &NodeRegistration,
    address: Option<IpAddr>,
    skip_phases: &[String],
    report: &mut Report,
) {
    for (name, component) in components {
        for (flag, harm) in [
            ("permit-port-sharing", "keeps a component from starting beside the one that it takes over from"),
            ("leader-elect", "has two of a component at work while one takes over from the other"),
        ] {
            let set = component.extra_args.iter().rposition(|arg| arg.name == flag);
            if let Some(index) = set.filter(|index| component.extra_args[*index].value == "false") {
                let message = format!("{flag}=false {harm}: leave it out, or set controlPlaneHosting: StaticPods");
                report.error(format!("ClusterConfiguration.{name}.extraArgs[{index}]"), message);
            }
        }
    }
    if let Some(index) = skip_phases.iter().position(|phase| phase == "mark-control-plane") {
        let message = "without the label that mark-control-plane gives the Node, the DaemonSets of a self-hosted control plane have no Pods: \
                       leave it out, or set controlPlaneHosting: StaticPods";
        report.error(format!("InitConfiguration.skipPhases[{index}]"), message);
    }
    let args = &node.kubelet_extra_args;
    let index = args.iter().rposition(|arg| arg.name == "node-ip");
    let own = index.and_then(|index| args[index].value.split(',').next()?.parse::<IpAddr>().ok());
    if let (Some(index), Some(own), Some(address)) = (index, own, address)
        && own != address
    {
        let message = format!(
            "node-ip={own} is not localAPIEndpoint.advertiseAddress, {address}: a self-hosted API server is at its Node's address"
        );
        report.error(format!("InitConfiguration.nodeRegistration.kubeletExtraArgs[{index}]"), message);
    }
}
