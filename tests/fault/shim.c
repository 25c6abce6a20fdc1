/* Loaded in front of the C library (LD_PRELOAD), lets the Nth call of a named function fail, come late or
 * kill the program, and counts the calls.
 *
 *   VOUCHSAFE_FAULT=fsync:3:EIO     armed from the start; also malloc:120:ENOMEM, fdatasync:2:kill,
 *                                   connect:1:delay=500, read:1+:EINTR (each from the first on)
 *   VOUCHSAFE_FAULT_FILE=path       the shared page of control.h: arm, count and look at run time
 *
 * When the program crashes, the page says where, for a crash inside a library is not one of ours. Must never
 * allocate, lock or log on the way of a call. Not for programs built with a sanitizer: those have to be first
 * in line themselves. */
#include "tests/fault/control.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* The rows of the page, in its order. */
/* clang-format off */
#define FUNCTIONS(X) \
	X(malloc) X(calloc) X(realloc) X(read) X(write) X(writev) X(send) X(sendto) X(sendmsg) X(recv) \
	X(recvfrom) X(recvmsg) X(socket) X(socketpair) X(bind) X(listen) X(connect) X(accept4) \
	X(getsockopt) X(setsockopt) X(getsockname) X(open) X(openat) X(fopen) X(close) X(pread) X(pwrite) \
	X(fsync) X(fdatasync) X(ftruncate) X(fcntl) X(stat) X(fstat) X(fchmod) X(mkdir) X(rename) \
	X(unlink) X(flock) X(mmap) X(mlock) X(pthread_create) X(poll) X(epoll_create) X(epoll_ctl) \
	X(epoll_wait) X(eventfd) X(getrandom) X(getentropy) X(wake)
/* clang-format on */

#define ROW(NAME) ROW_##NAME,
#define NAME(NAME) #NAME,
enum row { FUNCTIONS(ROW) ROWS };
static const char *const names[ROWS] = { FUNCTIONS(NAME) };

static struct control *control;

/* ---- where a crash happened */

static void tail_copy(char *to, size_t size, const char *from)
{
	size_t length = from ? strlen(from) : 0;
	size_t cut = length < size ? 0 : length - size + 1;

	memcpy(to, length ? from + cut : "", length - cut + 1);
}

static void crashed(int number)
{
	void *frames[CONTROL_FRAMES + 2];
	int n;

	alarm(5); /* the loader's lock may be held: then it ends without saying where */
	n = backtrace(frames, CONTROL_FRAMES + 2);
	for (int i = 2; i < n; i++) { /* behind ours and the kernel's */
		struct control_frame *frame = &control->frames[i - 2];
		Dl_info info = { 0 };

		if (!dladdr(frames[i], &info))
			continue;
		tail_copy(frame->object, sizeof(frame->object), info.dli_fname);
		tail_copy(frame->symbol, sizeof(frame->symbol), info.dli_sname);
		frame->offset = (uint64_t)((char *)frames[i] - (char *)info.dli_fbase);
	}
	control->n_frames = n > 2 ? (uint64_t)(n - 2) : 0;
	__atomic_store_n(&control->signal, (uint64_t)number, __ATOMIC_RELEASE);
	raise(number); /* its own end now: the handler was good for once */
}

static void crashes_watch(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction action = { .sa_handler = crashed, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	void *warm[2];

	(void)backtrace(warm, 2); /* the first call loads a library */
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

static void __attribute__((constructor)) begin(void)
{
	const char *path = getenv("VOUCHSAFE_FAULT_FILE");
	const char *text = getenv("VOUCHSAFE_FAULT");
	struct control *page;

	if (!path && !text)
		return;
	page = control_open(path, names, ROWS);
	if (!page)
		_exit(2);
	control = page;
	crashes_watch();
	if (text && !control_arm(page, text)) {
		fprintf(stderr, "fault shim: VOUCHSAFE_FAULT=%s is not understood\n", text);
		_exit(2);
	}
}

/* ---- what cannot fail */

/* Writing to an eventfd, and reading from one, fail only where it is full or empty: a row of their own,
 * "wake". */
static bool is_eventfd[1024];

static void eventfd_note(int fd, bool yes)
{
	if (fd >= 0 && fd < (int)(sizeof(is_eventfd) / sizeof(is_eventfd[0])))
		is_eventfd[fd] = yes;
}

static bool eventfd_is(int fd)
{
	return fd >= 0 && fd < (int)(sizeof(is_eventfd) / sizeof(is_eventfd[0])) && is_eventfd[fd];
}

/* ---- the functions */

static void *next_find(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* The C library's own names, so that finding them allocates nothing. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

#define ALLOCATOR(ROW, NAME, PARAMETERS, ARGUMENTS)                                                          \
	EXPORT void *NAME PARAMETERS                                                                         \
	{                                                                                                    \
		struct fault fault = control_meet(control, ROW);                                             \
                                                                                                             \
		if (fault.action == ACTION_NONE)                                                             \
			return __libc_##NAME ARGUMENTS;                                                      \
		if (!fault_before(control, &fault))                                                          \
			return __libc_##NAME ARGUMENTS;                                                      \
		errno = (int)fault.number;                                                                   \
		return NULL;                                                                                 \
	}

ALLOCATOR(ROW_malloc, malloc, (size_t size), (size))
ALLOCATOR(ROW_calloc, calloc, (size_t n, size_t size), (n, size))
ALLOCATOR(ROW_realloc, realloc, (void *old, size_t size), (old, size))

/* A system call: -1 and errno say that it failed. `SHORTEN` may make a length smaller first. */
#define CALL(ROW, TYPE, NAME, PARAMETERS, ARGUMENTS, FAILED, SHORTEN)                                        \
	EXPORT TYPE NAME PARAMETERS                                                                          \
	{                                                                                                    \
		static TYPE(*next) PARAMETERS;                                                               \
		struct fault fault = control_meet(control, ROW);                                             \
		TYPE result;                                                                                 \
                                                                                                             \
		if (!next)                                                                                   \
			*(void **)&next = next_find(#NAME);                                                  \
		if (fault_before(control, &fault)) {                                                         \
			errno = (int)fault.number;                                                           \
			return FAILED;                                                                       \
		}                                                                                            \
		if (fault.action == ACTION_SHORT)                                                            \
			SHORTEN;                                                                             \
		result = next ARGUMENTS;                                                                     \
		if (fault_after(&fault)) {                                                                   \
			errno = (int)fault.number;                                                           \
			return FAILED;                                                                       \
		}                                                                                            \
		return result;                                                                               \
	}
#define WHOLE (void)0
#define HALVE(LENGTH) LENGTH = LENGTH > 1 ? LENGTH / 2 : LENGTH
#define PLAIN(ROW, NAME, PARAMETERS, ARGUMENTS) CALL(ROW, int, NAME, PARAMETERS, ARGUMENTS, -1, WHOLE)
#define BYTES(ROW, NAME, PARAMETERS, ARGUMENTS)                                                              \
	CALL(ROW, ssize_t, NAME, PARAMETERS, ARGUMENTS, -1, HALVE(length))

BYTES(eventfd_is(fd) ? ROW_wake : ROW_read, read, (int fd, void *to, size_t length), (fd, to, length))
BYTES(eventfd_is(fd) ? ROW_wake : ROW_write, write, (int fd, const void *from, size_t length),
	(fd, from, length))
CALL(ROW_writev, ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n), -1, WHOLE)
BYTES(ROW_send, send, (int fd, const void *from, size_t length, int flags), (fd, from, length, flags))
BYTES(ROW_sendto, sendto,
	(int fd, const void *from, size_t length, int flags, const struct sockaddr *address, socklen_t size),
	(fd, from, length, flags, address, size))
CALL(ROW_sendmsg, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
	-1, WHOLE)
BYTES(ROW_recv, recv, (int fd, void *to, size_t length, int flags), (fd, to, length, flags))
BYTES(ROW_recvfrom, recvfrom,
	(int fd, void *to, size_t length, int flags, struct sockaddr *address, socklen_t *size),
	(fd, to, length, flags, address, size))
CALL(ROW_recvmsg, ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), -1,
	WHOLE)
PLAIN(ROW_socket, socket, (int domain, int type, int protocol), (domain, type, protocol))
PLAIN(ROW_socketpair, socketpair, (int domain, int type, int protocol, int pair[2]),
	(domain, type, protocol, pair))
PLAIN(ROW_bind, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
PLAIN(ROW_listen, listen, (int fd, int backlog), (fd, backlog))
PLAIN(ROW_connect, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size))
PLAIN(ROW_accept4, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
	(fd, address, size, flags))
PLAIN(ROW_accept4, accept, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
PLAIN(ROW_getsockopt, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
	(fd, level, name, value, size))
PLAIN(ROW_setsockopt, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
	(fd, level, name, value, size))
PLAIN(ROW_getsockname, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size))
PLAIN(ROW_close, close, (int fd), ((eventfd_note(fd, false), fd)))
BYTES(ROW_pread, pread, (int fd, void *to, size_t length, off_t at), (fd, to, length, at))
BYTES(ROW_pread, pread64, (int fd, void *to, size_t length, off64_t at), (fd, to, length, at))
BYTES(ROW_pwrite, pwrite, (int fd, const void *from, size_t length, off_t at), (fd, from, length, at))
BYTES(ROW_pwrite, pwrite64, (int fd, const void *from, size_t length, off64_t at), (fd, from, length, at))
PLAIN(ROW_fsync, fsync, (int fd), (fd))
PLAIN(ROW_fdatasync, fdatasync, (int fd), (fd))
PLAIN(ROW_ftruncate, ftruncate, (int fd, off_t length), (fd, length))
PLAIN(ROW_ftruncate, ftruncate64, (int fd, off64_t length), (fd, length))
PLAIN(ROW_stat, stat, (const char *path, struct stat *status), (path, status))
PLAIN(ROW_stat, stat64, (const char *path, struct stat64 *status), (path, status))
PLAIN(ROW_stat, lstat, (const char *path, struct stat *status), (path, status))
PLAIN(ROW_fstat, fstat, (int fd, struct stat *status), (fd, status))
PLAIN(ROW_fstat, fstat64, (int fd, struct stat64 *status), (fd, status))
PLAIN(ROW_fchmod, fchmod, (int fd, mode_t mode), (fd, mode))
PLAIN(ROW_mkdir, mkdir, (const char *path, mode_t mode), (path, mode))
PLAIN(ROW_rename, rename, (const char *from, const char *to), (from, to))
PLAIN(ROW_rename, renameat, (int from_at, const char *from, int to_at, const char *to),
	(from_at, from, to_at, to))
PLAIN(ROW_unlink, unlink, (const char *path), (path))
PLAIN(ROW_unlink, unlinkat, (int at, const char *path, int flags), (at, path, flags))
PLAIN(ROW_flock, flock, (int fd, int operation), (fd, operation))
CALL(ROW_mmap, void *, mmap, (void *at, size_t length, int protection, int flags, int fd, off_t offset),
	(at, length, protection, flags, fd, offset), MAP_FAILED, WHOLE)
CALL(ROW_mmap, void *, mmap64, (void *at, size_t length, int protection, int flags, int fd, off64_t offset),
	(at, length, protection, flags, fd, offset), MAP_FAILED, WHOLE)
PLAIN(ROW_mlock, mlock, (const void *at, size_t length), (at, length))
PLAIN(ROW_poll, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))
PLAIN(ROW_epoll_create, epoll_create1, (int flags), (flags))
PLAIN(ROW_epoll_ctl, epoll_ctl, (int fd, int operation, int what, struct epoll_event *event),
	(fd, operation, what, event))
PLAIN(ROW_epoll_wait, epoll_wait, (int fd, struct epoll_event *events, int n, int timeout),
	(fd, events, n, timeout))
BYTES(ROW_getrandom, getrandom, (void *to, size_t length, unsigned flags), (to, length, flags))
PLAIN(ROW_getentropy, getentropy, (void *to, size_t length), (to, length))
CALL(ROW_fopen, FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, WHOLE)
CALL(ROW_fopen, FILE *, fopen64, (const char *path, const char *mode), (path, mode), NULL, WHOLE)

/* Has the call a mode behind its flags? */
static mode_t mode_take(int flags, va_list more)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

#define OPENS(ROW, NAME, PARAMETERS, ARGUMENTS, TYPES)                                                       \
	EXPORT int NAME PARAMETERS                                                                           \
	{                                                                                                    \
		static int(*next) TYPES;                                                                     \
		struct fault fault = control_meet(control, ROW);                                             \
		va_list more;                                                                                \
		mode_t mode;                                                                                 \
		int fd;                                                                                      \
                                                                                                             \
		va_start(more, flags);                                                                       \
		mode = mode_take(flags, more);                                                               \
		va_end(more);                                                                                \
		if (!next)                                                                                   \
			*(void **)&next = next_find(#NAME);                                                  \
		fd = fault_before(control, &fault) ? -2 : next ARGUMENTS;                                    \
		if (fd >= 0 && fault_after(&fault)) {                                                        \
			close(fd);                                                                           \
			fd = -2;                                                                             \
		}                                                                                            \
		if (fd == -2)                                                                                \
			errno = (int)fault.number;                                                           \
		return fd < 0 ? -1 : fd;                                                                     \
	}

OPENS(ROW_open, open, (const char *path, int flags, ...), (path, flags, mode), (const char *, int, ...))
OPENS(ROW_open, open64, (const char *path, int flags, ...), (path, flags, mode), (const char *, int, ...))
OPENS(ROW_openat, openat, (int at, const char *path, int flags, ...), (at, path, flags, mode),
	(int, const char *, int, ...))
OPENS(ROW_openat, openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode),
	(int, const char *, int, ...))

EXPORT int eventfd(unsigned value, int flags)
{
	static int (*next)(unsigned, int);
	struct fault fault = control_meet(control, ROW_eventfd);
	int fd;

	if (!next)
		*(void **)&next = next_find("eventfd");
	if (fault_before(control, &fault)) {
		errno = (int)fault.number;
		return -1;
	}
	fd = next(value, flags);
	eventfd_note(fd, true);
	return fd;
}

/* Giving up a lock does not fail. */
static bool unlocks(int command, const void *argument)
{
	return (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK) &&
	       ((const struct flock *)argument)->l_type == F_UNLCK;
}

/* What follows is a number or a pointer: either way one register, passed on as it is. */
#define FCNTL_LIKE(NAME)                                                                                     \
	EXPORT int NAME(int fd, int command, ...)                                                            \
	{                                                                                                    \
		static int (*next)(int, int, ...);                                                           \
		struct fault fault = { .action = ACTION_NONE };                                              \
		va_list more;                                                                                \
		void *argument;                                                                              \
                                                                                                             \
		va_start(more, command);                                                                     \
		argument = va_arg(more, void *);                                                             \
		va_end(more);                                                                                \
		if (!unlocks(command, argument))                                                             \
			fault = control_meet(control, ROW_fcntl);                                            \
		if (!next)                                                                                   \
			*(void **)&next = next_find(#NAME);                                                  \
		if (!fault_before(control, &fault))                                                          \
			return next(fd, command, argument);                                                  \
		errno = (int)fault.number;                                                                   \
		return -1;                                                                                   \
	}

FCNTL_LIKE(fcntl)
FCNTL_LIKE(fcntl64)

/* Gives the error as its value. */
EXPORT int pthread_create(
	pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	struct fault fault = control_meet(control, ROW_pthread_create);

	if (!next)
		*(void **)&next = next_find("pthread_create");
	if (fault_before(control, &fault))
		return (int)fault.number;
	return next(thread, attributes, run, argument);
}
