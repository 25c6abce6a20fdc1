/* The page that a test and a shim share. Must never call a function that the shim counts while it is armed,
 * nor one that is not safe in a signal handler. */
#include "tests/fault/control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(offsetof(struct control, frames) == 72, "injection.py reads it there");
_Static_assert(offsetof(struct control, rows) == 2952, "injection.py reads it there");
_Static_assert(sizeof(struct control) <= CONTROL_SIZE, "more rows than the file has room for");

static void *map_file(const char *path)
{
	void *page = MAP_FAILED;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return MAP_FAILED;
	if (ftruncate(fd, CONTROL_SIZE) == 0)
		page = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return page;
}

struct control *control_open(const char *path, const char *const names[], unsigned n)
{
	struct control *control =
		path ? map_file(path)
		     : mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (control == MAP_FAILED || n > CONTROL_ROWS) {
		fprintf(stderr, "fault shim: %s: %s\n", path ? path : "memory", strerror(errno));
		return NULL;
	}
	for (unsigned i = 0; i < n; i++)
		snprintf(control->rows[i].name, sizeof(control->rows[i].name), "%s", names[i]);
	control->n_rows = n;
	memcpy(control->magic, CONTROL_MAGIC, sizeof(control->magic));
	return control;
}

struct fault control_meet(struct control *control, unsigned row)
{
	struct fault fault = { .action = ACTION_NONE };
	uint64_t call;

	if (!control || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE))
		return fault;
	call = __atomic_add_fetch(&control->rows[row].calls, 1, __ATOMIC_RELAXED);
	if (row != control->row || call < control->nth || call > control->last)
		return fault;
	__atomic_add_fetch(&control->met, 1, __ATOMIC_RELAXED);
	fault.action = (enum action)control->action;
	fault.number = control->number;
	return fault;
}

static void wait_ms(long long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static void die(int number)
{
	syscall(SYS_kill, syscall(SYS_getpid), number);
}

bool fault_before(const struct control *control, const struct fault *fault)
{
	int error = errno;

	switch (fault->action) {
	case ACTION_DELAY:
		wait_ms(fault->number);
		break;
	case ACTION_HANG:
		while (__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE))
			wait_ms(10);
		break;
	case ACTION_KILL:
		die(SIGKILL);
		break;
	case ACTION_ABORT:
		abort();
	default:
		break;
	}
	errno = error;
	return fault->action == ACTION_FAIL;
}

bool fault_after(const struct fault *fault)
{
	if (fault->action == ACTION_KILL_AFTER)
		die(SIGKILL);
	return fault->action == ACTION_FAIL_AFTER;
}

/* ---- FUNCTION:N[-M|+]:WHAT */

static const struct word {
	const char *name;
	enum action action;
	int number;
} words[] = {
	{ "kill", ACTION_KILL, 0 },
	{ "kill-after", ACTION_KILL_AFTER, 0 },
	{ "abort", ACTION_ABORT, 0 },
	{ "hang", ACTION_HANG, 0 },
	{ "short", ACTION_SHORT, 0 },
	{ "EIO", ACTION_FAIL, EIO },
	{ "ENOMEM", ACTION_FAIL, ENOMEM },
	{ "ENOSPC", ACTION_FAIL, ENOSPC },
	{ "EMFILE", ACTION_FAIL, EMFILE },
	{ "EINTR", ACTION_FAIL, EINTR },
	{ "EAGAIN", ACTION_FAIL, EAGAIN },
	{ "EACCES", ACTION_FAIL, EACCES },
	{ "EROFS", ACTION_FAIL, EROFS },
	{ "ENOLCK", ACTION_FAIL, ENOLCK },
	{ "EPIPE", ACTION_FAIL, EPIPE },
	{ "ECONNRESET", ACTION_FAIL, ECONNRESET },
	{ "ECONNREFUSED", ACTION_FAIL, ECONNREFUSED },
	{ "ETIMEDOUT", ACTION_FAIL, ETIMEDOUT },
	{ "ENOSYS", ACTION_FAIL, ENOSYS },
};

static bool what_take(const char *text, struct control *control)
{
	const char *delay = strncmp(text, "delay=", 6) == 0 ? text + 6 : NULL;
	const char *number = delay ? delay : text;
	char *end;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(text, words[i].name) == 0) {
			control->action = words[i].action;
			control->number = words[i].number;
			return true;
		}
	}
	control->action = delay ? ACTION_DELAY : ACTION_FAIL;
	control->number = strtol(number, &end, 0);
	return *number && *end == '\0' && control->number >= 0;
}

static bool calls_take(const char *text, struct control *control, const char **rest)
{
	char *end;

	control->nth = control->last = strtoul(text, &end, 10);
	if (*end == '+') {
		control->last = UINT64_MAX;
		end++;
	} else if (*end == '-') {
		control->last = strtoul(end + 1, &end, 10);
	}
	*rest = end + 1;
	return control->nth > 0 && *end == ':';
}

bool control_arm(struct control *control, const char *text)
{
	const char *colon = strchr(text, ':');
	const char *what;
	unsigned row = 0;

	while (colon && row < control->n_rows &&
		(strncmp(control->rows[row].name, text, (size_t)(colon - text)) != 0 ||
			control->rows[row].name[colon - text]))
		row++;
	if (!colon || row == control->n_rows || !calls_take(colon + 1, control, &what) ||
		!what_take(what, control))
		return false;
	control->row = row;
	__atomic_store_n(&control->armed, 1, __ATOMIC_RELEASE);
	return true;
}
