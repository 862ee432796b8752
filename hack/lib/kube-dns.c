/* The programs of KubeDNS's containers, and one that asks them, as far as tests need them: those of k8s.io/dns are not to be had.
 *
 * What answers DNS is real: CoreDNS stands in for kube-dns, and Debian's dnsmasq is what the nanny starts. This takes the flags that
 * the manifest of KubeDNS has for the originals, and answers its probes by asking the servers. It is what it is called. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *why) {
    perror(why);
    exit(1);
}

static struct sockaddr_in at(const char *address, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    return to;
}

/* Asks a server for a name over UDP; whether it knows it. */
static int resolves(const char *address, int port, const char *name, int type, int wait_ms) {
    unsigned char query[512] = {rand() & 255, rand() & 255, 1, 0, 0, 1}, answer[2048];
    size_t length = 12;
    for (const char *label = name; *label;) {
        size_t end = strcspn(label, ".");
        query[length++] = end;
        memcpy(query + length, label, end);
        length += end;
        label += end + (label[end] == '.');
    }
    query[length++] = 0;
    query[++length] = type;
    query[length += 2] = 1;
    length++;
    struct sockaddr_in to = at(address, port);
    int link = socket(AF_INET, SOCK_DGRAM, 0), known = 0;
    if (connect(link, (void *)&to, sizeof to) == 0 && send(link, query, length, 0) == (ssize_t)length) {
        struct pollfd ready = {link, POLLIN, 0};
        ssize_t got = poll(&ready, 1, wait_ms) == 1 ? recv(link, answer, sizeof answer, 0) : 0;
        known = got > 12 && memcmp(answer, query, 2) == 0 && (answer[3] & 15) == 0 && (answer[6] || answer[7]);
    }
    close(link);
    return known;
}

/* Asks for a page on this host; whether it is well. */
static int page(int port, const char *path) {
    struct sockaddr_in to = at("127.0.0.1", port);
    int link = socket(AF_INET, SOCK_STREAM, 0), well = 0;
    char text[256];
    if (connect(link, (void *)&to, sizeof to) == 0) {
        snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", path);
        ssize_t got = write(link, text, strlen(text)) > 0 ? read(link, text, 12) : 0;
        well = got == 12 && memcmp(text + 9, "200", 3) == 0;
    }
    close(link);
    return well;
}

/* Answers whoever asks for a page, until a child ends. */
static void serve(int port, int (*well)(const char *)) {
    struct sockaddr_in here = at("0.0.0.0", port);
    int on = 1, door = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(door, (void *)&here, sizeof here) || listen(door, 16))
        die("listen");
    for (;;) {
        struct pollfd ready = {door, POLLIN, 0};
        if (poll(&ready, 1, 200) == 1) {
            char text[1024] = "", path[256] = "";
            int link = accept(door, NULL, NULL);
            ssize_t got = read(link, text, sizeof text - 1);
            if (got > 0 && sscanf(text, "GET %255s", path) == 1)
                dprintf(link, "HTTP/1.0 %s\r\nContent-Length: 0\r\n\r\n", well(path) ? "200 OK" : "503 Service Unavailable");
            close(link);
        }
        int status;
        if (waitpid(-1, &status, WNOHANG) > 0)
            exit(1);
    }
}

static int core_dns_ready(const char *path) { return strcmp(path, "/readiness") == 0 && page(8181, "/ready"); }

static int child;
static void pass_on(int signal) {
    kill(child, signal);
    waitpid(child, NULL, 0);
    _exit(0);
}

/* --domain=cluster.local. --dns-port=10053 */
static void kube_dns(char **flags) {
    const char *domain = "", *port = "", *metrics = getenv("PROMETHEUS_PORT");
    for (; *flags; flags++) {
        if (strncmp(*flags, "--domain=", 9) == 0)
            domain = *flags + 9;
        if (strncmp(*flags, "--dns-port=", 11) == 0)
            port = *flags + 11;
    }
    int pipes[2];
    if (pipe(pipes))
        die("pipe");
    if ((child = fork()) == 0) {
        dup2(pipes[0], 0);
        close(pipes[1]);
        execl("/coredns", "/coredns", "-conf", "stdin", NULL);
        die("coredns");
    }
    dprintf(pipes[1],
            ".:%s {\n errors\n ready :8181\n prometheus :%s\n kubernetes %s in-addr.arpa ip6.arpa {\n  ttl 30\n }\n}\n",
            port, metrics ? metrics : "10055", domain);
    close(pipes[0]);
    close(pipes[1]);
    signal(SIGTERM, pass_on);
    serve(8081, core_dns_ready);
}

/* -v=2 ... -- the flags of dnsmasq */
static void nanny(char **flags) {
    while (*flags && strcmp(*flags, "--"))
        flags++;
    char *words[64] = {"dnsmasq", "--user=root", "--group=root", "--pid-file="};
    for (int count = 4; *flags && *++flags && count < 63;)
        words[count++] = *flags;
    execv("/usr/sbin/dnsmasq", words);
    die("dnsmasq");
}

static struct probe { char label[32], address[32], name[256]; int port; } probes[8];

static int probed(const char *path) {
    if (strcmp(path, "/metrics") == 0)
        return 1;
    for (struct probe *probe = probes; probe->port; probe++)
        if (strncmp(path, "/healthcheck/", 13) == 0 && strcmp(path + 13, probe->label) == 0)
            return resolves(probe->address, probe->port, probe->name, 33, 2000);
    return 0;
}

/* --probe=label,address:port,name,seconds,SRV */
static void sidecar(char **flags) {
    for (int count = 0; *flags; flags++) {
        struct probe *probe = &probes[count];
        if (sscanf(*flags, "--probe=%31[^,],%31[^:]:%d,%255[^,]", probe->label, probe->address, &probe->port, probe->name) == 4)
            count++;
    }
    serve(10054, probed);
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* An address and a name: asks ten times a second, and tells each second how often it was answered and the longest gap so far. */
static void ask(char **words) {
    signal(SIGTERM, SIG_DFL);
    long last = now_ms(), told = last, gap = 0, answers = 0;
    for (;; usleep(100000)) {
        long now;
        if (resolves(words[0], 53, words[1], 1, 500)) {
            answers++;
            now = now_ms();
            gap = answers > 1 && now - last > gap ? now - last : gap;
            last = now;
        }
        now = now_ms();
        if (now - told >= 1000) {
            long open = now - last;
            printf("%ld answers, longest gap %ld ms\n", answers, answers && open > gap ? open : gap);
            fflush(stdout);
            told = now;
        }
    }
}

int main(int count, char **words) {
    const char *name = strrchr(words[0], '/') ? strrchr(words[0], '/') + 1 : words[0];
    signal(SIGPIPE, SIG_IGN);
    srand(time(NULL) ^ getpid());
    if (strcmp(name, "kube-dns") == 0)
        kube_dns(words + 1);
    else if (strcmp(name, "dnsmasq-nanny") == 0)
        nanny(words + 1);
    else if (strcmp(name, "sidecar") == 0)
        sidecar(words + 1);
    else if (strcmp(name, "ask") == 0 && count == 3)
        ask(words + 1);
    fprintf(stderr, "what am I? kube-dns, dnsmasq-nanny, sidecar or ask\n");
    return 64;
}
