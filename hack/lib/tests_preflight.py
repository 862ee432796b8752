"""preflight finds what is wrong with a host before anything on it is touched, and whatever the real kubeadm finds there, it finds too."""
import re

import preflight
import preflight_etcd
import preflight_faults
from node import CONFIGURATION, differences, expect

SECONDS_TO_MAKE = 30
WATCHED = ("/etc", "/usr/bin", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/planekeeper")
EX_CONFIG = 78  # of sysexits.h
# What kubeadm finds wherever there is a control plane.
OF_A_CONTROL_PLANE = re.compile(r"Port-\d+|FileAvailable-.+|DirAvailable-.+")


def faults(test):
    """The faults of a host with an etcd of its own."""
    node = test.node("a")
    all_found(test, node, preflight_faults.FAULTS)
    with test.check("a host without a default route needs an address in the configuration, as with kubeadm"):
        node.do("sed", "-i", "/advertiseAddress/d; s/localAPIEndpoint:/& {}/", CONFIGURATION)
        for family in ("-4", "-6"):
            node.do("ip", family, "route", "flush", "default")
        said = node.do(*preflight.KUBEADM, exit=1).stderr
        expect("no default routes found" in said, f"kubeadm says: {said}")
        said = node.do(*preflight.PLANEKEEPER, exit=EX_CONFIG).stderr
        expect("advertiseAddress" in said and "no default route" in said, f"planekeeper says: {said}")
    with test.check("a release to come, of which kubeadm warns, is found before all else"):
        node.configure(version="1.99.0", node="imagePullPolicy: Never\n")
        theirs, ours = preflight.kubeadm(node), preflight.planekeeper(node)
        expect("KubernetesVersion" in theirs.identifiers(), f"kubeadm finds:\n{theirs}")
        expect(ours.identifiers() == {"KubernetesVersion"} and not ours.passed, f"planekeeper finds:\n{ours}")


def etcd(test):
    """The faults of an etcd that is somebody else's."""
    node = test.node("a")
    preflight_etcd.set_up(node)
    all_found(test, node, preflight_etcd.FAULTS)


def all_found(test, node, faults):
    with test.check("a healthy host passes, as with kubeadm"):
        theirs, ours = preflight.kubeadm(node), preflight.planekeeper(node)
        expect(theirs.passed and ours.passed, f"kubeadm:\n{theirs}\nplanekeeper:\n{ours}")
        none_escapes(theirs, ours)
    with test.check("preflight touches no file"):
        before = node.files(*WATCHED)
        preflight.planekeeper(node)
        after = node.files(*WATCHED)
        expect(before == after, f"files have changed:\n{differences(before, after)}")
    for fault in faults:
        with test.check(f"{'found' if fault.both | fault.ours else 'no fault'}: {fault.name}"):
            found(node, fault, theirs, ours)
    with test.check("without its faults the host is healthy again"):
        node.configure()
        for program, healthy in ((preflight.kubeadm, theirs), (preflight.planekeeper, ours)):
            seen = program(node)
            expect(seen == healthy, f"{program.__name__} finds:\n{seen}\nbefore it was:\n{healthy}")


def found(node, fault, theirs_healthy, ours_healthy):
    """Makes the fault; both find it, and nothing else."""
    node.configure(**fault.more)
    node.do("bash", "-ec", fault.make, timeout=SECONDS_TO_MAKE)
    theirs, ours = preflight.kubeadm(node, fault.below), preflight.planekeeper(node, fault.below)
    node.do("bash", "-ec", fault.undo, timeout=SECONDS_TO_MAKE)
    none_escapes(theirs, ours, besides=fault.theirs.keys() - fault.both.keys())
    as_expected("kubeadm", theirs, theirs_healthy, {name: (status, ()) for name, (status, _) in (fault.both | fault.theirs).items()})
    as_expected("planekeeper", ours, ours_healthy, fault.both | fault.ours)


def none_escapes(theirs, ours, besides=()):
    """Every identifier that kubeadm reports, planekeeper reports."""
    escaped = theirs.identifiers() - ours.identifiers() - set(besides)
    expect(not escaped, f"planekeeper does not find {escaped}; kubeadm:\n{theirs}\nplanekeeper:\n{ours}")


def as_expected(who, seen, healthy, expected):
    """What is found besides what is found on a healthy host is what is expected, with its status and its words."""
    new = seen.besides(healthy)
    identifiers = {finding.identifier for finding in new}
    surprising, missing = identifiers - expected.keys() - healthy.identifiers(), expected.keys() - identifiers
    expect(not surprising, f"{who} finds {surprising} too:\n{seen}")
    expect(not missing, f"{who} does not find {missing}:\n{seen}")
    for identifier, (status, words) in expected.items():
        findings = [finding for finding in new if finding.identifier == identifier]
        text = "\n".join(map(str, findings))
        expect({finding.status for finding in findings} == {status}, f"{who} says, instead of {status}:\n{text}")
        expect(all(word in text for word in words), f"{who} says nothing of {words}:\n{text}")


def passes_with_a_control_plane(node):
    """Its own ports and files are no fault of a host; kubeadm finds nothing else there that planekeeper does not."""
    theirs, ours = preflight.kubeadm(node), preflight.planekeeper(node)
    expect(ours.passed, f"it does not:\n{ours}")
    expect(not theirs.passed, f"kubeadm passes on a host that has a control plane:\n{theirs}")
    others = {finding for finding in theirs.findings if not OF_A_CONTROL_PLANE.fullmatch(finding.identifier)}
    none_escapes(preflight.Seen(theirs.passed, others), ours)


TESTS = {"preflight": faults, "preflight-etcd": etcd}
