"""Makes up valid kubeadm configurations: the same number gives the same one.

Every feature is drawn by itself, so that a few dozen configurations meet most pairs of features. What is drawn is valid:
a refusal by kubeadm is a fault of this file.
"""
import json
import random
import string

import yaml

CLUSTER, KUBELET, PROXY = "kubeadm.k8s.io/", "kubelet.config.k8s.io/v1beta1", "kubeproxy.config.k8s.io/v1alpha1"
COMPONENT_ARGS = {
    "apiServer": [("audit-log-path", "/var/log/audit.log"), ("profiling", "false"), ("v", "4"), ("event-ttl", "2h0m0s"),
                  ("authorization-mode", "RBAC,Node"), ("authorization-mode", "Node,RBAC,Webhook"), ("tls-min-version", ""),
                  ("authorization-config", "/etc/kubernetes/authz.yaml"), ("bind-address", "10.0.0.11"),
                  ("bind-address", "::"), ("secure-port", "7444"), ("advertise-address", "10.0.0.12"),
                  ("service-account-issuer", "https://a.example.com"), ("service-account-issuer", "https://b.example.com"),
                  ("enable-admission-plugins", "NodeRestriction,AlwaysPullImages"), ("feature-gates", "A=true,B=false"),
                  ("service-cluster-ip-range", "10.200.0.0/16"), ("etcd-servers", "https://etcd.example.com:2379"),
                  ("anonymous-auth", "false"), ("allow-privileged", "false"), ("client-ca-file", "/etc/other/ca.crt"),
                  ("kubelet-preferred-address-types", "Hostname"), ("requestheader-allowed-names", ""), ("etcd-cafile", "/x/ca.crt"),
                  ("proxy-client-key-file", "/x/y.key"), ("requestheader-username-headers", "X-User"), ("tls-cert-file", "/x/t.crt"),
                  ("service-account-signing-key-file", "/x/sa.key"), ("enable-bootstrap-token-auth", "false"), ("aa", "with spaces and \"quotes\"")],
    "controllerManager": [("bind-address", "0.0.0.0"), ("secure-port", "11257"), ("controllers", "*,-nodeipam"),
                          ("allocate-node-cidrs", "false"), ("node-cidr-mask-size-ipv4", "25"), ("cluster-name", "other"),
                          ("flex-volume-plugin-dir", "/opt/flex"), ("v", "2"), ("cluster-signing-duration", "1h0m0s"),
                          ("use-service-account-credentials", "false"), ("leader-elect", ""), ("cluster-cidr", "10.9.0.0/16"), ("kubeconfig", "/x.conf"),
                          ("service-cluster-ip-range", "10.8.0.0/16"), ("root-ca-file", "/x/ca.crt"),
                          ("authentication-kubeconfig", "/x.conf"), ("requestheader-client-ca-file", "/x/f.crt"), ("terminated-pod-gc-threshold", "9")],
    "scheduler": [("bind-address", "0.0.0.0"), ("bind-address", "fd00::5"), ("secure-port", "11259"), ("v", "2"),
                  ("config", "/etc/kubernetes/scheduler.yaml"), ("leader-elect", "false"), ("kubeconfig", "/x.conf"), ("authorization-kubeconfig", "/x.conf")],
    "etcd": [("listen-metrics-urls", "http://10.0.0.10:2381"), ("listen-metrics-urls", "https://127.0.0.1:9979"),
             ("advertise-client-urls", "https://10.0.0.99:2379"), ("quota-backend-bytes", "8589934592"),
             ("listen-client-urls", "https://0.0.0.0:2379"), ("snapshot-count", "5000"), ("log-level", ""),
             ("initial-cluster-state", "existing"), ("auto-compaction-retention", "8"), ("name", "another"),
             ("data-dir", "/other/etcd"), ("listen-peer-urls", "https://0.0.0.0:2380"), ("client-cert-auth", "false"),
             ("initial-cluster", "a=https://10.0.0.1:2380"), ("feature-gates", "InitialCorruptCheck=false"),
             ("initial-advertise-peer-urls", "https://10.0.0.99:2380"), ("watch-progress-notify-interval", "9s")],
    "kubelet": [("node-ip", "10.0.0.10"), ("v", "2"), ("node-labels", "zone=a,tier=cp"), ("cloud-provider", ""),
                ("hostname-override", "other"), ("register-with-taints", "a=b:NoSchedule"), ("config-dir", "/etc/x.d"),
                ("system-reserved", "cpu=200m, memory=300Mi"), ("container-runtime-endpoint", "unix:///run/y.sock")],
}
VOLUMES = [("logs", "/var/log/x", "DirectoryOrCreate"), ("ca-certs", "/opt/certs", "Directory"), ("a", "/a", None),
           ("kubeconfig", "/etc/x.conf", "File"), ("k8s-certs", "/pki", "DirectoryOrCreate"), ("sock", "/run/x.sock", "Socket"),
           ("zz", "/zz", "FileOrCreate"), ("etc-ca-certificates", "/opt/ca", "DirectoryOrCreate")]
KUBELET_FIELDS = {
    "cgroupDriver": "cgroupfs", "maxPods": 200, "failSwapOn": False, "failCgroupV1": False, "serializeImagePulls": False,
    "clusterDNS": ["169.254.20.10"], "clusterDomain": "other.local",
    "healthzPort": 10249, "healthzBindAddress": "0.0.0.0", "rotateCertificates": False, "serverTLSBootstrap": True,
    "resolvConf": "/run/resolv.conf", "evictionHard": {"memory.available": "200Mi"}, "evictionPressureTransitionPeriod": "45s",
    "logging": {"format": "json", "flushFrequency": "5s", "verbosity": 3}, "tlsMinVersion": "VersionTLS13",
    "tlsCipherSuites": ["TLS_AES_128_GCM_SHA256"], "memorySwap": {"swapBehavior": "LimitedSwap"}, "memoryThrottlingFactor": 0.8,
    "tracing": {"endpoint": "10.0.0.5:4317", "samplingRatePerMillion": 100}, "featureGates": {"NodeSwap": True},
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"cacheTTL": "3m0s"}}, "registryPullQPS": 0,
    "authorization": {"mode": "AlwaysAllow"}, "shutdownGracePeriod": "1m30s", "imageMaximumGCAge": "168h0m0s",
    "reservedMemory": [{"numaNode": 0, "limits": {"memory": "1124Mi"}}], "kubeReserved": {"cpu": "100m"},
    "enforceNodeAllocatable": ["pods"], "containerLogMaxSize": "20Mi", "containerRuntimeEndpoint": "unix:///run/z.sock",
    "registerWithTaints": [{"key": "a", "effect": "NoSchedule"}], "nodeStatusUpdateFrequency": "5s", "podPidsLimit": 4096,
    "cpuManagerPolicyOptions": {"full-pcpus-only": "true"}, "systemReserved": {"memory": "1Gi"}, "readOnlyPort": 10255,
    "shutdownGracePeriodCriticalPods": "30s", "streamingConnectionIdleTimeout": "4h", "syncFrequency": "90s", "cpuCFSQuota": False,
    "volumeStatsAggPeriod": "1m", "cpuCFSQuotaPeriod": "50ms", "hairpinMode": "hairpin-veth", "topologyManagerScope": "pod",
    "evictionSoft": {"nodefs.available": "10%"}, "evictionSoftGracePeriod": {"nodefs.available": "2m"}, "eventRecordQPS": 0,
    "topologyManagerPolicy": "best-effort", "cpuManagerPolicy": "static", "memoryManagerPolicy": "Static", "oomScoreAdj": -900,
    "imageGCHighThresholdPercent": 80, "imageMinimumGCAge": "5m", "allowedUnsafeSysctls": ["net.core.somaxconn"], "podsPerCore": 9,
    "providerID": "x://y", "kernelMemcgNotification": True, "maxParallelImagePulls": 3, "showHiddenMetricsForVersion": "1.30",
    "enableControllerAttachDetach": False, "protectKernelDefaults": True, "seccompDefault": True, "localStorageCapacityIsolation": False,
    "nodeLeaseDurationSeconds": 50, "port": 10251, "address": "0.0.0.0", "containerLogMaxFiles": 3, "enableServer": True,
    "shutdownGracePeriodByPodPriority": [{"priority": 10, "shutdownGracePeriodSeconds": 20}], "kubeAPIQPS": 40, "kubeAPIBurst": 90,
    "crashLoopBackOff": {"maxContainerRestartPeriod": "40s"}, "userNamespaces": {"idsPerPod": 65536}, "volumePluginDir": "/x/y",
}
PROXY_FIELDS = {
    "mode": "ipvs", "clusterCIDR": "10.99.0.0/16", "bindAddress": "10.0.0.10", "metricsBindAddress": "0.0.0.0:10249",
    "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "udpTimeout": "20s"}, "nodePortAddresses": ["10.0.0.0/8"],
    "ipvs": {"scheduler": "rr", "strictARP": True, "excludeCIDRs": ["10.0.0.0/24"]}, "hostnameOverride": "x",
    "iptables": {"masqueradeBit": 15, "localhostNodePorts": False}, "nftables": {"masqueradeAll": True, "syncPeriod": "1m0s"},
    "detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "cni0"}, "oomScoreAdj": -998,
    "clientConnection": {"qps": 20.5, "burst": 40, "kubeconfig": "/etc/other.conf"}, "configSyncPeriod": "10m0s",
    "featureGates": {"AllAlpha": False}, "logging": {"verbosity": 2}, "enableProfiling": True, "bindAddressHardFail": True,
}
TIMEOUTS = {"controlPlaneComponentHealthCheck": "5m", "kubeletHealthCheck": "90s", "discovery": "1h", "etcdAPICall": "2m30s",
            "kubernetesAPICall": "65s", "tlsBootstrap": "10m0s"}
FEATURE_GATES = {"1.34.4": ["NodeLocalCRISocket", "ControlPlaneKubeletLocalMode"], "1.35.4": ["NodeLocalCRISocket"]}
PATCHES = {
    "kube-apiserver+strategic.yaml": {"spec": {"containers": [{"name": "kube-apiserver", "resources": {"requests": {"cpu": "1"}},
                                                              "env": [{"name": "A", "value": "b"}]}, {"name": "side", "image": "x"}]}},
    "kube-apiserver1+json.json": [{"op": "add", "path": "/metadata/labels/team", "value": "core"}],
    "kube-controller-manager+merge.yaml": {"metadata": {"labels": {"tier": None, "x": "z"}}},
    "kube-controller-manager2+strategic.yaml": {"spec": {"volumes": [{"$patch": "delete", "name": "kubeconfig"}]}},
    "kube-scheduler+json.yaml": [{"op": "remove", "path": "/spec/containers/0/livenessProbe"}],
    "kube-scheduler3.yaml": {"spec": {"tolerations": [{"operator": "Exists"}], "dnsConfig": {"nameservers": ["10.0.0.2"]}}},
    "etcd+merge.json": {"metadata": {"annotations": {"note": "x"}}, "spec": {"terminationGracePeriodSeconds": 60}},
    "etcd0+strategic.yaml": {"spec": {"containers": [{"name": "etcd", "ports": [{"containerPort": 9, "protocol": "TCP"}]}]}},
    "kubeletconfiguration+merge.yaml": {"maxPods": 42, "clusterDNS": None},
    "kubeletconfiguration1+strategic.yaml": {"evictionHard": {"nodefs.available": "5%"}},
    "kube-apiserver2+merge.yaml": {"spec": {"overhead": {"memory": "1024Ki", "cpu": 0.25}, "hostNetwork": False}},
    "kube-scheduler4+strategic.yaml": {"spec": {
        "containers": [{"name": "kube-scheduler", "resources": {"limits": {"cpu": "1500m", "memory": "2048Mi", "a/b": 1000}},
                        "env": [{"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "0.5Gi"}}], "hostAliases": []}},
    "etcd5+json.yaml": [{"op": "replace", "path": "/spec/containers/0/resources", "value": {"requests": {"ephemeral-storage": "1e9"}}}],
    "kube-controller-manager5+json.json": [{"op": "add", "path": "/spec/initContainers", "value": [
        {"name": "i", "image": "x", "tty": False, "resources": {"limits": {"memory": "1000Ki", "cpu": 2}}}]}],
    "kubeletconfiguration3+merge.yaml": {"reservedMemory": [{"numaNode": 0, "limits": {"memory": "1024Mi"}}], "syncFrequency": "60s"},
    "corednsdeployment3+merge.yaml": {"spec": {"template": {"spec": {"hostNetwork": False, "dnsPolicy": "ClusterFirst"}}}},
    "corednsdeployment+strategic.yaml": {"spec": {"replicas": 3, "template": {"spec": {"containers": [
        {"name": "coredns", "resources": {"limits": {"memory": "300Mi"}}}]}}}},
    "corednsdeployment+json.json": [{"op": "replace", "path": "/spec/replicas", "value": 1}],
}


class Generator:
    """One configuration, drawn from one number."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.version = self.random.choice(["1.37.2"] * 4 + ["1.36.3", "1.35.4", "1.34.4"])
        self.old = self.version in ("1.34.4", "1.35.4") and self.maybe(0.3)  # v1beta3
        self.stack = self.random.choice(["4"] * 4 + ["6", "46", "64"])

    def maybe(self, chance=0.35):
        return self.random.random() < chance

    def some(self, choices, most=4):
        return self.random.sample(choices, self.random.randint(1, min(most, len(choices))))

    def word(self):
        return "".join(self.random.choices(string.ascii_lowercase, k=self.random.randint(3, 9)))

    def args(self, component):
        drawn = self.some(COMPONENT_ARGS[component], 5)
        return dict(drawn) if self.old else [{"name": name, "value": value} for name, value in drawn]

    def draw(self, into, field, value, chance=0.35):
        """Sets a field of `into`, sometimes; `value` is only worked out when it is."""
        if self.maybe(chance):
            into[field] = value()

    def configuration(self):
        """The text of a configuration and its patches, by file name."""
        patches = dict(self.some(sorted(PATCHES.items()), 5)) if self.maybe(0.4) else {}
        documents = [self.init(bool(patches)), self.cluster()]
        if self.maybe():
            documents.append({"apiVersion": KUBELET, "kind": "KubeletConfiguration",
                              **dict(self.some(sorted(KUBELET_FIELDS.items()), 12))})
        if self.maybe():
            documents.append({"apiVersion": PROXY, "kind": "KubeProxyConfiguration",
                              **dict(self.some(sorted(PROXY_FIELDS.items()), 8))})
        texts = {name: yaml.safe_dump(patch) if name.endswith("yaml") else json.dumps(patch)
                 for name, patch in patches.items()}
        return yaml.safe_dump_all(documents, sort_keys=False), texts

    def api(self):
        return CLUSTER + ("v1beta3" if self.old else "v1beta4")

    def init(self, patches):
        node = {"name": self.word() + self.random.choice(["", "-1", ".example.com"])}
        self.draw(node, "criSocket", lambda: self.random.choice(["unix:///run/crio/crio.sock", "/run/x.sock"]))
        self.draw(node, "kubeletExtraArgs", lambda: self.args("kubelet"))
        self.draw(node, "imagePullPolicy", lambda: self.random.choice(["Always", "Never", "IfNotPresent"]))
        self.draw(node, "taints", self.taints)
        address = "10.0.0.10" if self.stack.startswith("4") else self.random.choice(["fd00::10", "FD00:0:0::10"])
        endpoint = {"advertiseAddress": address}
        self.draw(endpoint, "bindPort", lambda: self.random.choice([443, 7443, 6444]))
        init = {"apiVersion": self.api(), "kind": "InitConfiguration", "nodeRegistration": node, "localAPIEndpoint": endpoint,
                "bootstrapTokens": [self.token() for _ in range(self.random.choice([1, 1, 1, 2, 3]))]}
        self.draw(init, "skipPhases", lambda: self.some(["addon/kube-proxy", "addon/coredns", "mark-control-plane",
                                                         "kubeconfig/super-admin", "upload-config/kubeadm"], 2), 0.15)
        if not self.old:
            self.draw(init, "timeouts", lambda: dict(self.some(sorted(TIMEOUTS.items()), 3)))
        if patches:
            init["patches"] = {"directory": "patches"}
        return init

    def token(self):
        draw = lambda count: "".join(self.random.choices(string.ascii_lowercase + string.digits, k=count))
        token = {"token": f"{draw(6)}.{draw(16)}"}
        self.draw(token, "ttl", lambda: self.random.choice(["0s", "1h0m0s", "30m", "24h", "1.5h", "90m", "3600s"]))
        self.draw(token, "description", self.word)
        self.draw(token, "groups", lambda: ["system:bootstrappers:" + self.word()])
        self.draw(token, "usages", lambda: self.random.choice([["authentication"], ["authentication", "signing"]]))
        return token

    def taints(self):
        return [{"key": self.word(), "effect": effect, **({"value": self.word()} if self.maybe(0.5) else {})}
                for effect in self.random.sample(["NoSchedule", "NoExecute", "PreferNoSchedule"], self.random.randint(0, 3))]

    def sans(self, more=()):
        return self.some(["api.example.com", "203.0.113.7", "*.wild.example.com", "2001:db8::7", "localhost", "10.0.0.10",
                          "2001:0DB8:0:0::9", "::ffff:203.0.113.9", *more])

    def cluster(self):
        cluster = {"apiVersion": self.api(), "kind": "ClusterConfiguration", "kubernetesVersion": "v" + self.version,
                   "networking": self.networking()}
        self.draw(cluster, "controlPlaneEndpoint", lambda: self.random.choice(
            ["lb.example.com", "lb.example.com:8443", "10.0.0.100", "10.0.0.100:6443", "[fd00::100]:7443", "fd00::100"]))
        self.draw(cluster, "clusterName", self.word)
        self.draw(cluster, "certificatesDir", lambda: self.random.choice(["/opt/k8s/pki", "/etc/kubernetes/pki2"]), 0.15)
        self.draw(cluster, "imageRepository", lambda: "registry.example.com:5000/" + self.word())
        for component in ("apiServer", "controllerManager", "scheduler"):
            self.draw(cluster, component, lambda component=component: self.component(component), 0.5)
        if self.version in FEATURE_GATES:
            self.draw(cluster, "featureGates", lambda: {gate: self.maybe(0.5) for gate in self.some(FEATURE_GATES[self.version])})
        self.draw(cluster, "dns", self.dns)
        cluster.update({"etcd": etcd} if (etcd := self.etcd()) else {})
        if not self.old:
            self.draw(cluster, "encryptionAlgorithm", lambda: self.random.choice(["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072"]), 0.6)
            self.draw(cluster, "certificateValidityPeriod", lambda: f"{self.random.randint(100, 9000)}h{self.random.choice(['', '0m0s', '30m'])}")
            self.draw(cluster, "caCertificateValidityPeriod", lambda: f"{self.random.randint(20000, 200000)}h0m0s")
            self.draw(cluster, "proxy", lambda: {"disabled": True}, 0.15)
        return cluster

    def networking(self):
        family = {"4": self.random.choice([("10.100.0.0/16", "10.244.0.0/16"), ("10.96.5.0/12", "10.244.7.9/16")]),
                  "6": self.random.choice([("fd00:10:96::/112", "fd00:10:244::/56"), ("FD00:10:96:0::7/112", "fd00:0010:244::5/56")])}
        drawn = {"serviceSubnet": ",".join(family[f][0] for f in self.stack)}
        self.draw(drawn, "podSubnet", lambda: ",".join(family[f][1] for f in self.stack), 0.6)
        self.draw(drawn, "dnsDomain", lambda: self.word() + ".local")
        return drawn if self.stack != "4" or self.maybe(0.7) else {k: v for k, v in drawn.items() if k != "serviceSubnet"}

    def component(self, name):
        drawn = {"extraArgs": self.args(name)}
        self.draw(drawn, "extraVolumes", lambda: [
            {"name": volume, "hostPath": path, "mountPath": path, **({"pathType": kind} if kind else {}),
             **({"readOnly": True} if self.maybe() else {})} for volume, path, kind in self.some(VOLUMES, 3)])
        if not self.old:
            self.draw(drawn, "extraEnvs", self.environment)
        if name == "apiServer":
            self.draw(drawn, "certSANs", lambda: self.sans(["Upper.Example.COM"]))
        return drawn

    def environment(self):
        return self.some([{"name": "GOGC", "value": "50"}, {"name": "EMPTY"}, {"name": "A", "value": "x y"},
                          {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}], 3)

    def dns(self):
        drawn = {}
        self.draw(drawn, "imageRepository", lambda: "registry.example.com/dns", 0.5)
        self.draw(drawn, "imageTag", lambda: "v1.12.9", 0.5)
        if not self.old:
            self.draw(drawn, "disabled", lambda: True, 0.2)
        return drawn

    def etcd(self):
        kind = self.random.choice(["default", "default", "local", "local", "external", "http"])
        if kind == "default":
            return None
        if kind == "http":
            return {"external": {"endpoints": ["http://10.0.0.21:2379"], "caFile": "", "certFile": "", "keyFile": ""}}
        if kind == "external":
            folder = self.random.choice(["/etc/etcd", "/etc/kubernetes/pki/etcd", "/srv/tls"])
            return {"external": {"endpoints": self.some(["https://10.0.0.21:2379", "https://etcd.example.com:2379"]),
                                 "caFile": f"{folder}/ca.crt", "certFile": f"{folder}/c.crt", "keyFile": f"{folder}/c.key"}}
        local = {"dataDir": self.random.choice(["/var/lib/etcd", "/data/etcd"])}
        self.draw(local, "extraArgs", lambda: self.args("etcd"), 0.6)
        self.draw(local, "imageRepository", lambda: "registry.example.com/db")
        self.draw(local, "imageTag", lambda: "3.6.4-0")
        self.draw(local, "serverCertSANs", self.sans)
        self.draw(local, "peerCertSANs", self.sans)
        if not self.old:
            self.draw(local, "extraEnvs", self.environment)
        return {"local": local}
