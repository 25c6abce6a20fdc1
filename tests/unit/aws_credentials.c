/* One principal's credentials over a source that does as it is told, with a clock of the test's own: fetched,
 * renewed, refused, waited for. The moments that credentials_next names are jumped to, never waited for. */
#include "aws/credentials.h"
#include "tests/unit/unit.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000LL

enum { NOW = 1800000000 };

static long long wall;

static long long wall_clock(void)
{
	return wall;
}

/* ---- the source, and what the credentials told */

struct script {
	struct source source;
	unsigned fetches;
	bool held; /* the fetch does not end by itself */
	bool fails, has_changed;
	char id; /* of the next keys: their last letter */
	long long life; /* 0: they tell no end */
	bool freed;
};

static void script_end(struct script *script)
{
	if (script->fails) {
		source_fail(&script->source, "out of order");
		return;
	}
	memset(&script->source.keys, 0, sizeof(script->source.keys));
	snprintf(script->source.keys.id, ACCESS_KEY_ID_SIZE, "AKIAIOSFODNN7EXAMPL%c", script->id);
	strcpy(script->source.keys.secret, "secretsecretsecret");
	strcpy(script->source.keys.token, "token");
	script->source.keys.expires = script->life ? wall + script->life : 0;
	source_give(&script->source);
}

static void script_fetch(struct source *source, long long deadline)
{
	struct script *script = (struct script *)source;

	assert_true(deadline > monotonic_now());
	script->fetches++;
	script->has_changed = false;
	if (!script->held)
		script_end(script);
}

static bool script_changed(struct source *source)
{
	return ((struct script *)source)->has_changed;
}

static void script_free(struct source *source)
{
	((struct script *)source)->freed = true;
}

struct scene {
	struct script script;
	struct credentials *credentials;
	unsigned good, bad;
	char text[256];
};

static void told(void *context, const char *account, bool good, const char *text)
{
	struct scene *scene = context;

	assert_string_equal(account, "123456789012");
	assert_null(strstr(text, "secretsecret"));
	assert_null(strstr(text, "token"));
	++*(good ? &scene->good : &scene->bad);
	snprintf(scene->text, sizeof(scene->text), "%s", text);
}

static void scene_open(struct scene *scene, long long life)
{
	const struct credentials_teller teller = { told, scene };

	memset(scene, 0, sizeof(*scene));
	wall = NOW;
	scene->script.id = 'A';
	scene->script.life = life;
	scene->script.source.name = "the script";
	scene->script.source.renews = true;
	scene->script.source.fetch = script_fetch;
	scene->script.source.changed = life ? NULL : script_changed; /* as a file, whose keys tell no end */
	scene->script.source.free = script_free;
	scene->credentials = credentials_new(&scene->script.source, "123456789012", &teller, wall_clock);
	assert_non_null(scene->credentials);
}

static void scene_close(struct scene *scene)
{
	credentials_free(scene->credentials);
	assert_true(scene->script.freed);
}

static long long soon(const struct scene *scene)
{
	long long next = credentials_next(scene->credentials);

	return next == LLONG_MAX ? next : next - monotonic_now();
}

/* Jumps to the next fetch: the clock goes along. */
static void fetch_wait(struct scene *scene)
{
	unsigned before = scene->script.fetches;
	long long next = credentials_next(scene->credentials);

	assert_true(next < LLONG_MAX);
	wall += soon(scene) > 0 ? soon(scene) / SECOND : 0;
	credentials_advance(scene->credentials, next);
	assert_int_equal(scene->script.fetches, before + 1);
}

static char lent(const struct scene *scene)
{
	struct http_signature signature;

	assert_true(credentials_ready(scene->credentials));
	credentials_lend(scene->credentials, &signature);
	assert_string_equal(signature.secret_access_key, "secretsecretsecret");
	assert_string_equal(signature.session_token, "token");
	return signature.access_key_id[19];
}

/* ---- fetched and renewed */

static void fetched_at_once(void **state)
{
	struct credentials_status status;
	struct scene scene;

	(void)state;
	scene_open(&scene, 3600);
	assert_false(credentials_ready(scene.credentials));
	credentials_status(scene.credentials, &status);
	assert_false(status.there);
	credentials_advance(scene.credentials, monotonic_now());
	assert_int_equal(lent(&scene), 'A');
	assert_int_equal(scene.script.fetches, 1);
	assert_string_equal(scene.text, "the script: access key AKIAIOSFODNN7EXAMPLA");
	credentials_status(scene.credentials, &status);
	assert_true(
		status.there && status.expires == NOW + 3600 && status.fetched == 1 && status.failed == 0);
	scene_close(&scene);
}

/* Without an end and without a file to look at there is nothing left to do. */
static void kept_for_ever(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 0);
	scene.script.source.changed = NULL;
	credentials_free(scene.credentials);
	scene.credentials = credentials_new(
		&scene.script.source, "123456789012", &(struct credentials_teller){ NULL, NULL }, wall_clock);
	credentials_advance(scene.credentials, monotonic_now());
	assert_int_equal(lent(&scene), 'A');
	assert_true(soon(&scene) == LLONG_MAX);
	wall += 1000000000;
	assert_true(credentials_ready(scene.credentials));
	scene_close(&scene);
}

/* New ones come a quarter of an hour before the end, or somewhat later; the old ones serve meanwhile. */
static void renewed_in_time(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 3600);
	credentials_advance(scene.credentials, monotonic_now());
	scene.script.id = 'B';
	scene.script.held = true;
	wall += 2680;
	credentials_advance(scene.credentials, monotonic_now() + 2680 * SECOND);
	assert_int_equal(scene.script.fetches, 1);
	wall = NOW + 2926;
	credentials_advance(scene.credentials, monotonic_now() + 2926 * SECOND);
	assert_int_equal(scene.script.fetches, 2);
	assert_int_equal(lent(&scene), 'A');
	credentials_advance(scene.credentials, monotonic_now() + 3000 * SECOND);
	assert_int_equal(scene.script.fetches, 2); /* single flight */
	script_end(&scene.script);
	assert_int_equal(lent(&scene), 'B');
	assert_int_equal(scene.good, 2);
	scene_close(&scene);
}

/* A source that fails is tried several times before the keys end, and they are used until then. */
static void tried_again(void **state)
{
	struct scene scene;
	unsigned tries;

	(void)state;
	scene_open(&scene, 400);
	credentials_advance(scene.credentials, monotonic_now());
	scene.script.fails = true;
	wall = NOW + 251;
	credentials_advance(scene.credentials, monotonic_now() + 251 * SECOND);
	for (tries = 1; wall < NOW + 400; tries++) {
		assert_int_equal(lent(&scene), 'A');
		fetch_wait(&scene);
		wall++; /* what is shorter than a second is not lost */
	}
	assert_in_range(tries, 30, 200);
	assert_false(credentials_ready(scene.credentials));
	assert_int_equal(scene.bad, 1); /* one news, told once */
	assert_string_equal(scene.text, "the script: out of order");
	assert_string_equal(credentials_why(scene.credentials), "the script: out of order");
	scene.script.fails = false;
	fetch_wait(&scene);
	assert_int_equal(lent(&scene), 'A');
	assert_int_equal(scene.good, 2);
	assert_string_equal(credentials_why(scene.credentials), "");
	scene_close(&scene);
}

static void ended_already(void **state)
{
	struct credentials_status status;
	struct scene scene;

	(void)state;
	scene_open(&scene, -1);
	credentials_advance(scene.credentials, monotonic_now());
	assert_false(credentials_ready(scene.credentials));
	assert_string_equal(scene.text, "the script: its keys have ended already");
	credentials_status(scene.credentials, &status);
	assert_true(!status.there && status.failed == 1);
	scene.script.life = 60;
	fetch_wait(&scene);
	assert_int_equal(lent(&scene), 'A');
	scene_close(&scene);
}

static void changed_source(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, 0);
	credentials_advance(scene.credentials, monotonic_now());
	scene.script.id = 'B';
	credentials_advance(scene.credentials, monotonic_now() + 6 * SECOND);
	assert_int_equal(lent(&scene), 'A');
	scene.script.has_changed = true;
	assert_in_range(soon(&scene), 0, 12 * SECOND);
	credentials_advance(scene.credentials, credentials_next(scene.credentials));
	assert_int_equal(lent(&scene), 'B');
	/* a change while a fetch is under way begins no second one */
	scene.script.has_changed = scene.script.held = true;
	credentials_advance(scene.credentials, credentials_next(scene.credentials));
	scene.script.has_changed = true;
	credentials_advance(scene.credentials, monotonic_now() + 50 * SECOND);
	assert_int_equal(scene.script.fetches, 3);
	scene.script.held = false;
	script_end(&scene.script);
	/* what is wrong in the file does not take the old ones away */
	scene.script.has_changed = scene.script.fails = true;
	credentials_advance(scene.credentials, monotonic_now() + 100 * SECOND);
	assert_int_equal(scene.bad, 1);
	assert_int_equal(lent(&scene), 'B');
	scene_close(&scene);
}

/* ---- those who wait */

struct waiter {
	struct awaiting awaiting;
	unsigned ready, not_ready;
};

static void waiter_done(struct awaiting *awaiting, bool ready)
{
	struct waiter *waiter = (struct waiter *)awaiting;

	++*(ready ? &waiter->ready : &waiter->not_ready);
}

static void wait_begin(struct scene *scene, struct waiter *waiter, long long seconds)
{
	memset(waiter, 0, sizeof(*waiter));
	waiter->awaiting.deadline = monotonic_now() + seconds * SECOND;
	waiter->awaiting.done = waiter_done;
	credentials_await(scene->credentials, &waiter->awaiting);
	assert_int_equal(waiter->ready + waiter->not_ready, 0); /* never from inside */
}

static void waited_for(void **state)
{
	struct waiter waiters[3];
	struct scene scene;

	(void)state;
	scene_open(&scene, 3600);
	scene.script.held = true;
	wait_begin(&scene, &waiters[0], 10);
	wait_begin(&scene, &waiters[1], 1);
	credentials_advance(scene.credentials, monotonic_now());
	wait_begin(&scene, &waiters[2], 10);
	assert_in_range(soon(&scene), 0, SECOND);
	credentials_advance(scene.credentials, monotonic_now() + 2 * SECOND);
	assert_int_equal(waiters[1].not_ready, 1);
	assert_int_equal(scene.script.fetches, 1);
	script_end(&scene.script);
	for (unsigned i = 0; i < 3; i++)
		assert_true(waiters[i].ready + waiters[i].not_ready == 1 && waiters[i].ready == (i != 1));
	/* who comes when there are keys is served in the next round */
	wait_begin(&scene, &waiters[0], 10);
	assert_int_equal(credentials_next(scene.credentials), 0);
	credentials_advance(scene.credentials, monotonic_now());
	assert_int_equal(waiters[0].ready, 1);
	assert_int_equal(scene.script.fetches, 1);
	scene_close(&scene);
}

/* However long the pause has become: who waits makes it a second at most. */
static void waiting_shortens_the_pause(void **state)
{
	struct waiter waiter;
	struct scene scene;
	unsigned i;

	(void)state;
	scene_open(&scene, 3600);
	scene.script.fails = true;
	credentials_advance(scene.credentials, monotonic_now());
	for (i = 0; i < 12; i++)
		fetch_wait(&scene);
	assert_in_range(soon(&scene), 29 * SECOND, 60 * SECOND);
	wait_begin(&scene, &waiter, 1000);
	assert_in_range(soon(&scene), 0, SECOND);
	scene.script.held = true;
	fetch_wait(&scene);
	scene.script.fails = false;
	script_end(&scene.script);
	assert_int_equal(waiter.ready, 1);
	scene_close(&scene);
}

/* They end although nobody has fetched: the machine was asleep. Who waits has them fetched now. */
static void ended_unseen(void **state)
{
	struct waiter waiter;
	struct scene scene;

	(void)state;
	scene_open(&scene, 3600);
	credentials_advance(scene.credentials, monotonic_now());
	wall += 3600;
	assert_false(credentials_ready(scene.credentials));
	wait_begin(&scene, &waiter, 10);
	assert_in_range(soon(&scene), 0, SECOND);
	credentials_advance(scene.credentials, monotonic_now() + SECOND);
	assert_int_equal(waiter.ready, 1);
	assert_int_equal(scene.script.fetches, 2);
	scene_close(&scene);
}

/* ---- refused by AWS */

static void doubted(void **state)
{
	struct http_signature signature;
	struct waiter waiter;
	struct scene scene;
	unsigned first, second;

	(void)state;
	scene_open(&scene, 3600);
	credentials_advance(scene.credentials, monotonic_now());
	first = credentials_lend(scene.credentials, &signature);
	scene.script.id = 'B';
	assert_true(credentials_doubt(scene.credentials, first));
	assert_true(credentials_doubt(scene.credentials, first)); /* the same, from another call */
	assert_false(credentials_ready(scene.credentials));
	wait_begin(&scene, &waiter, 10);
	assert_in_range(soon(&scene), 1, SECOND); /* not sooner than a second after the last fetch */
	credentials_advance(scene.credentials, monotonic_now() + SECOND);
	assert_int_equal(waiter.ready, 1);
	assert_int_equal(lent(&scene), 'B');
	second = credentials_lend(scene.credentials, &signature);
	assert_int_not_equal(first, second);
	/* a late answer about the first ones says nothing of the second */
	assert_true(credentials_doubt(scene.credentials, first));
	assert_int_equal(lent(&scene), 'B');
	assert_int_equal(scene.script.fetches, 2);
	scene_close(&scene);
}

static void doubted_in_vain(void **state)
{
	struct http_signature signature;
	struct scene scene;

	(void)state;
	scene_open(&scene, 0);
	scene.script.source.renews = false;
	credentials_advance(scene.credentials, monotonic_now());
	assert_false(credentials_doubt(scene.credentials, credentials_lend(scene.credentials, &signature)));
	assert_int_equal(lent(&scene), 'A');
	scene_close(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fetched_at_once),
		cmocka_unit_test(kept_for_ever),
		cmocka_unit_test(renewed_in_time),
		cmocka_unit_test(tried_again),
		cmocka_unit_test(ended_already),
		cmocka_unit_test(changed_source),
		cmocka_unit_test(waited_for),
		cmocka_unit_test(waiting_shortens_the_pause),
		cmocka_unit_test(ended_unseen),
		cmocka_unit_test(doubted),
		cmocka_unit_test(doubted_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
