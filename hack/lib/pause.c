/* The container that holds a Pod's namespaces: it sleeps, reaps what is left to it, and ends when told to. */
#include <signal.h>
#include <sys/wait.h>

int main(void)
{
	sigset_t signals;
	int got;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, 0);
	while (sigwait(&signals, &got) == 0) {
		if (got != SIGCHLD)
			return 0;
		while (waitpid(-1, 0, WNOHANG) > 0)
			;
	}
	return 1;
}
