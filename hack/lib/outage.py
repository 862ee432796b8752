"""How long an API server is away while something is done, and who else ends for that."""
import http.client
import ssl
import threading
import time

from node import SECONDS_TO_BE_READY, expect

ATTEMPT_S = 10  # a connection may wait for a server that is starting, beside one that is ready
PAUSE_S = 0.05
SLOW_S = 2  # an answer that takes longer is none
LED = {"kube-controller-manager", "kube-scheduler"}
# Seconds that the API server may be away at the least before one of these ends by itself: it tries to renew its Lease every 2 s for 10 s,
# which may have begun 2 s before, and tries for the last time 2 s before they are over.
PATIENCE_S = 6


class Outage:
    """For how many seconds the API server does not say that it is ready, as who asks without a pause sees it: `longest` at a time, `whole` in
    all. It has to answer in the end. Use it as a context; what was seen is said as that ends."""

    def __init__(self, test, node, what=""):
        self.test, self.address, self.what = test, node.address, what and f"{what}: "
        self.longest, self.whole, self.ended = 0.0, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, failed, *_):
        self.ended.set()
        self.thread.join(SECONDS_TO_BE_READY)
        if not failed:
            expect(not self.thread.is_alive(), f"{self.what}the API server is still away {SECONDS_TO_BE_READY} s later")
            self.test.say(f"{self.what}the API server was away for {self.longest:.1f} s at the longest, {self.whole:.1f} s in all")

    def watch(self):
        good, failed = time.monotonic(), False
        while failed or not self.ended.is_set():
            ready, now = self.ready(), time.monotonic()
            if ready:
                if failed or now - good > SLOW_S:
                    self.longest, self.whole = max(self.longest, now - good), self.whole + now - good
                good = now
            failed = not ready
            time.sleep(PAUSE_S)

    def ready(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        server = http.client.HTTPSConnection(self.address, 6443, timeout=ATTEMPT_S, context=context)
        try:
            server.request("GET", "/readyz")
            return server.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            server.close()

    def excused(self):
        """Who may have ended by itself, because it could not renew its Lease."""
        return LED if self.longest > PATIENCE_S else set()
