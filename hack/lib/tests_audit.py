"""Auditing by a real API server: what the policy asks for is written and nothing else, and what is left when it is off again."""
import json

from node import CONFIGURATION, expect, said
from outage import Outage
from tests_rollout import pids, restarted_alone, silent

PLANEKEEPER = "---\napiVersion: planekeeper.dev/v1alpha1\nkind: PlanekeeperConfiguration\n"
POLICY = "/etc/kubernetes/audit/audit.yaml"
LOG = "/var/log/kubernetes/audit/audit.log"
LEASE = ("get", "leases", "--namespace=kube-system", "--selector=apiserver.kubernetes.io/identity=kube-apiserver")
OURS = """\
---
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  resources: [{resources: [configmaps]}]
- level: None
"""


def audit(test):
    node = test.node("a", proxy=f"{PLANEKEEPER}audit: {{enabled: true}}\n")
    configuration = node.path(CONFIGURATION)
    plain = configuration.read_text().partition(PLANEKEEPER)[0]
    node.reconcile()
    node.wait_until_ready()  # a controller manager that still makes its controllers ends when the API server is away
    with test.check("a real API server logs who did what, once, and no body of a Secret, no Event, no probe"):
        node.kubectl("create", "secret", "generic", "audited", "--from-literal=key=do-not-log-me")
        node.kubectl("get", "--raw=/healthz")
        node.wait_for("the event", lambda: not about(events(node), "secrets", "create") and "it is not logged")
        renewed = lambda: node.kubectl(*LEASE, "--output=jsonpath={.items[0].spec.renewTime}")
        first = renewed()
        node.wait_for("the API server to renew its Lease, the last of the components' to be", lambda: renewed() == first and first)
        seen = events(node)
        [made] = [event for event in about(seen, "secrets", "create") if event["objectRef"].get("name") == "audited"]
        expect(made["user"]["username"] == "kubernetes-admin" and made["level"] == "Metadata", f"it says {made}")
        text = node.path(LOG).read_text()
        expect("ZG8tbm90LWxvZy1tZQ" not in text and "do-not-log-me" not in text, "a Secret's body is in the log")
        noise = [event for event in seen if event["requestURI"].startswith(("/healthz", "/livez", "/readyz"))]
        expect(not noise and not about(seen, "events"), f"there is noise: {noise[:1]}{about(seen, 'events')[:1]}")
        renewals = [event for event in about(seen, "leases", "update") if event["user"]["username"].startswith("system:")]
        expect(not renewals, f"Leases that components renew are logged: {renewals[:1]}")
        silent(node)
    with test.check("a policy of the user's is in force once the API server has started again, and it alone has"):
        configuration.write_text(plain + OURS)
        before = pids(node)
        with Outage(test, node) as outage:
            done = node.reconcile()
        said(done.stdout, "Restarted: kube-apiserver.\n")
        node.kubectl("create", "configmap", "audited", "--from-literal=key=log-me")
        node.wait_for("the body", lambda: "log-me" not in node.path(LOG).read_text() and "it is not logged")
        restarted_alone(node, before, outage)
        silent(node)
    with test.check("a policy that is edited by hand is put back"):
        good = node.path(POLICY).read_text()
        node.path(POLICY).write_text(good.replace("RequestResponse", "Metadata"))
        node.reconcile()
        expect(node.path(POLICY).read_text() == good, "it is another policy")
    off(test, node, plain)


def off(test, node, plain):
    configuration = node.path(CONFIGURATION)
    with test.check("a bad policy is refused, and nothing is touched"):
        configuration.write_text(plain + OURS.replace("level: None", "level: Everything"))
        done = node.reconcile(exit=78)
        said(done.stderr, "Policy.rules[1].level")
    with test.check("switched off, the API server runs without it, the policy goes and the logs stay, and that is said"):
        configuration.write_text(plain)
        said(node.do("planekeeper", "plan").stdout, f"- file:{POLICY}", "directory:/var/log/kubernetes/audit", "stays: ")
        node.reconcile()
        flags = node.do("sh", "-c", "tr '\\0' ' ' </proc/$(pgrep -x kube-apiserver)/cmdline").stdout
        expect("audit" not in flags and not node.path(POLICY).exists(), f"it is not off: {flags}")
        expect(node.path(LOG).exists(), "the logs are gone")
        silent(node)


def events(node):
    lines = node.path(LOG).read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def about(events, resource, verb=None):
    return [event for event in events
            if event.get("objectRef", {}).get("resource") == resource and verb in (None, event["verb"])]


TESTS = {"audit": audit}
