"""What planekeeper's preflight and the real kubeadm's find on a host, to be put side by side."""
import json
import re
from dataclasses import dataclass

from node import CONFIGURATION, expect

KUBEADM = ("kubeadm", "init", "phase", "preflight", f"--config={CONFIGURATION}")
PLANEKEEPER = ("planekeeper", "preflight", "--output=json")
FINDING = re.compile(r"^\s*\[(ERROR|WARNING) ([^\]]+)\]: (.*)$", re.M)
FOUND = ("error", "warning")
CODES = {"IsPrivilegedUser": 77, "KubernetesVersion": 78}  # planekeeper's exit codes, of sysexits.h; 1 for any other error


@dataclass(frozen=True)
class Finding:
    status: str
    identifier: str
    text: str

    def __str__(self):
        return f"[{self.status} {self.identifier}] {self.text}"


@dataclass
class Seen:
    """What a program finds, and whether it lets the host pass."""
    passed: bool
    findings: set

    def besides(self, healthy):
        """What it finds that it did not find on a healthy host."""
        return self.findings - healthy.findings

    def identifiers(self):
        return {finding.identifier for finding in self.findings}

    def of(self, identifier):
        return [finding for finding in self.findings if finding.identifier == identifier]

    def __str__(self):
        return "\n".join([f"passed: {self.passed}", *sorted(map(str, self.findings))])


def kubeadm(node, below=(), program=KUBEADM):
    """`below` is the command that it is run by."""
    done = node.tried(*below, *program)
    findings = {Finding(status.lower(), name, text) for status, name, text in FINDING.findall(done.stderr + done.stdout)}
    expect(findings or done.returncode == 0, f"kubeadm does not come to its checks: {done.stderr}")
    return Seen(done.returncode == 0, findings)


def planekeeper(node, below=()):
    done = node.tried(*below, *PLANEKEEPER)
    expect('"checks"' in done.stdout, f"planekeeper prints no report, exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    bad = [check for check in report["checks"] if check["status"] in FOUND]
    for check in bad:
        expect(check["found"] and (check["needed"] or check["mend"]), f"it does not say what is found, or what to do: {check}")
    errors = any(check["status"] == "error" for check in bad)
    expect(report["passed"] == (not errors), f"it says that the host passed: {report['passed']}, with these findings: {bad}")
    codes = [CODES.get(check["id"], 1) for check in bad if check["status"] == "error"]
    fit = max(codes, default=0)
    expect(done.returncode == fit, f"the exit code is {done.returncode}, not {fit}, with these findings: {bad}")
    return Seen(report["passed"], {Finding(check["status"], check["id"], f"{check['found']} (needed: {check['needed']})") for check in bad})
