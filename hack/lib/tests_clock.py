"""What a watch does by the clock of a host that was off for long, or whose clock may be wrong. Only when named: each takes some minutes."""
import re
import time

import tests_watch
from node import expect
from tests_rollout import OFF_SOON, QUICK_KEYS, SECONDS_OFF, plan

LIFE = 180  # seconds that a certificate lives which is due after two thirds of that
NOT_YET = "but the clock is not synchronized yet"
CERTIFICATE = "/etc/kubernetes/pki/apiserver.crt"
ASKED = "time.service"


def powered_off_watch(test):
    node = test.node("a", cluster=OFF_SOON)
    node.reconcile()
    with test.check("a host that was off until all certificates had ended comes back when it boots, by its watch alone"):
        tests_watch.install(node)
        node.do("systemctl", "enable", "planekeeper")
        node.configure(cluster=QUICK_KEYS)
        node.power_off()
        time.sleep(SECONDS_OFF)
        node.reboot()
        node.wait_until_ready(pods=0)
        node.wait_for("the Leases to be renewed", lambda: "lease" in plan(node) and plan(node))
        tests_watch.converged(node)


def clock(test):
    node = test.node("a", cluster=f"{QUICK_KEYS}certificateValidityPeriod: {LIFE}s\n")
    if "NTPSynchronized=yes" in node.do("timedatectl", "show").stdout:
        return test.say("not tested: this machine's clock is synchronized, and the hosts have the same")
    ask_the_time(node)
    tests_watch.start(node)
    tests_watch.converged(node)
    before = node.path(CERTIFICATE).read_bytes()
    with test.check("while no time server has answered that is asked, nothing is renewed, and it is said why"):
        node.wait_for("a word about the clock", lambda: NOT_YET not in tests_watch.log(node) and "there is none", seconds=LIFE)
        expect(NOT_YET in node.run(["planekeeper", "status"]).stdout, "the status does not say it")
        expect(node.path(CERTIFICATE).read_bytes() == before, "it was renewed")
        expect(not re.search(r"renewed (certificate|kubeconfig):", tests_watch.log(node)), "something was renewed")
    with test.check("once nobody is asked any more, it is renewed"):
        node.do("systemctl", "stop", ASKED)
        node.wait_for("a renewal", lambda: node.path(CERTIFICATE).read_bytes() == before and "it is the same", seconds=LIFE)


def ask_the_time(node):
    """A service that keeps the clock, as timedated knows it, and never sets it."""
    units = node.path("/usr/lib/systemd/ntp-units.d")
    units.mkdir()
    (units / "50-test.list").write_text(f"{ASKED}\n")
    node.path(f"/etc/systemd/system/{ASKED}").write_text("[Service]\nExecStart=sleep infinity\n")
    node.do("systemctl", "daemon-reload")
    node.do("systemctl", "start", ASKED)
    node.do("systemctl", "stop", "systemd-timedated")
    seen = node.do("timedatectl", "show").stdout
    expect("NTP=yes" in seen and "NTPSynchronized=no" in seen, f"the clock is kept otherwise:\n{seen}")


MORE = {"powered-off-watch": powered_off_watch, "clock": clock}
TESTS = {}
