/* A fuzz target without a fuzzer, for every run of the tests: its corpus, and then simple changes of it for
 * two seconds: always the same ones, unless FUZZ_SEED says another number than the one that is printed.
 * Arguments: folders and files of inputs; those that are absent are left out. Where the target dies, the
 * input stands in the log in hexadecimal. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

enum { SEEDS_MAX = 256, MILLISECONDS = 2000 };

struct input {
	uint8_t data[INPUT_MAX];
	size_t size;
};

static struct input *seeds[SEEDS_MAX];
static size_t n_seeds;
static const struct input *under_way;
static uint64_t chance = 88172645463325252U; /* never 0 */

static void tell(void)
{
	size_t i;

	if (!under_way)
		return;
	dprintf(STDOUT_FILENO, "# died of: ");
	for (i = 0; i < under_way->size; i++)
		dprintf(STDOUT_FILENO, "%02x", under_way->data[i]);
	dprintf(STDOUT_FILENO, "\n");
	under_way = NULL;
}

static void aborted(int number)
{
	tell();
	signal(number, SIG_DFL);
	raise(number);
}

/* In a block of its own size, so that a byte too many is seen. */
static void run(const struct input *input)
{
	uint8_t *exact = malloc(input->size ? input->size : 1);

	if (!exact)
		abort();
	memcpy(exact, input->data, input->size);
	under_way = input;
	LLVMFuzzerTestOneInput(exact, input->size);
	under_way = NULL;
	free(exact);
}

static void seed_take(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct input *seed = malloc(sizeof(*seed));

	if (!file || !seed || n_seeds == SEEDS_MAX)
		abort();
	seed->size = fread(seed->data, 1, sizeof(seed->data), file);
	seeds[n_seeds++] = seed;
	fclose(file);
}

static void folder_take(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	char name[512];
	int i;

	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			seed_take(name);
		free(entries[i]);
	}
	free(n < 0 ? NULL : entries);
}

static void seeds_take(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0)
		printf("# no %s\n", path);
	else if (S_ISDIR(status.st_mode))
		folder_take(path);
	else
		seed_take(path);
}

static void chance_begin(void)
{
	const char *text = getenv("FUZZ_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : 0;

	chance = seed ? seed : chance;
	printf("# seed %llu\n", (unsigned long long)chance);
}

/* xorshift64 */
static size_t random_below(size_t n)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return n ? (size_t)(chance % n) : 0;
}

static void bytes_remove(struct input *input, size_t at, size_t n)
{
	n = n < input->size - at ? n : input->size - at;
	memmove(input->data + at, input->data + at + n, input->size - at - n);
	input->size -= n;
}

static void bytes_insert(struct input *input, size_t at, const uint8_t *bytes, size_t n)
{
	if (input->size + n > INPUT_MAX)
		return;
	memmove(input->data + at + n, input->data + at, input->size - at);
	memcpy(input->data + at, bytes, n);
	input->size += n;
}

static void change(struct input *input)
{
	static const uint8_t odd[] = { 0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{', '[', ',', '\n', '-', '=' };
	const struct input *other = seeds[random_below(n_seeds)];
	size_t at = random_below(input->size + 1);
	size_t from = random_below(other->size + 1);
	size_t n = random_below(32);
	uint8_t piece[32];

	n = n < other->size - from ? n : other->size - from;
	memcpy(piece, other->data + from, n);
	switch (at == input->size ? 4 : random_below(6)) {
	case 0:
		input->data[at] ^= (uint8_t)(1 << random_below(8));
		break;
	case 1:
		input->data[at] = odd[random_below(sizeof(odd))];
		break;
	case 2:
		input->data[at] = (uint8_t)random_below(256);
		break;
	case 3:
		bytes_remove(input, at, 1 + random_below(16));
		break;
	case 4:
		bytes_insert(input, at, piece, n);
		break;
	default:
		bytes_remove(input, at, n);
		bytes_insert(input, at, piece, n);
	}
}

static bool time_is_left(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000 < MILLISECONDS;
}

static unsigned long run_changes(void)
{
	static struct input input;
	struct timespec from;
	unsigned long n;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (n = 0; time_is_left(&from); n++) {
		size_t changes = 1 + random_below(4);

		input = *seeds[random_below(n_seeds)];
		while (changes--)
			change(&input);
		run(&input);
	}
	return n;
}

int main(int argc, char *argv[])
{
	static const struct input nothing;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, aborted);
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_set_death_callback(tell);
#endif
	puts("1..2");
	chance_begin();
	for (i = 1; i < (size_t)argc; i++)
		seeds_take(argv[i]);
	run(&nothing);
	for (i = 0; i < n_seeds; i++)
		run(seeds[i]);
	printf("%sok 1 - corpus of %zu inputs\n", n_seeds ? "" : "not ", n_seeds);
	if (n_seeds)
		printf("ok 2 - %lu changes of it\n", run_changes());
	for (i = 0; i < n_seeds; i++)
		free(seeds[i]);
	return n_seeds ? 0 : 1;
}
