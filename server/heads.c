/* The members' memory against the store. An alarm names the member, what is missing and the mend; it is taken
 * back when that member's memory and the store agree again. Must never take a member for one that has signed
 * nothing when the store holds its signature. */
#include "server/heads.h"

#include "store/store.h"
#include "vault/checkpoint.h"
#include "vault/log.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
	struct signer signer;
	/* What the store held when this process started: no member may remember less. One that it has signed
	 * since is no measure: the member may have been asked before, and be judged behind it. */
	struct signed_head kept;
	char alarm[sizeof(((struct complaint *)0)->text)]; /* "": none */
	long long signed_seq, signed_us;
};

struct heads {
	const struct config *config;
	const struct vault_file *vault;
	struct store *store; /* under `reading` */
	pthread_mutex_t reading, lock; /* `lock`: what follows */
	struct memory members[MEMBERS_MAX];
	bool entered;
};

/* ---- at the start */

static bool stored_is_good(struct heads *heads, struct memory *memory, const struct checkpoint *checkpoint,
	struct complaint *complaint)
{
	const char *member = memory->signer.member;
	struct signed_head newest;
	struct reason reason;
	bool stands;

	if (!checkpoint_verify(heads->vault->id, checkpoint, memory->signer.public_key))
		return complain(complaint,
			"the store's checkpoint of event %lld has no signature of %s's: somebody has changed "
			"the "
			"database; put a backup of it in its place",
			checkpoint->head.seq, member);
	if (store_head_stands(heads->store, &checkpoint->head, &stands, &newest, &reason) != OK)
		return complain(complaint, "%s", reason.text);
	if (!stands)
		return complain(complaint,
			"%s has signed event %lld, and the store holds its signature and not that event: "
			"somebody "
			"has changed the trail; `vouchsafe audit verify` says more; put a backup of the "
			"database "
			"in its place",
			member, checkpoint->head.seq);
	memory->kept = checkpoint->head;
	return true;
}

static bool member_load(struct heads *heads, size_t i, struct complaint *complaint)
{
	const char *member = heads->vault->members[i].name;
	struct memory *memory = &heads->members[i];
	struct checkpoint checkpoint;
	struct reason reason;
	enum outcome outcome = store_signer_get(heads->store, member, &memory->signer, &reason);

	if (outcome != OK)
		return complain(complaint, "%s; run: vouchsafe vault apply --config %s", reason.text,
			heads->config->path);
	outcome = store_checkpoint_newest(heads->store, member, &checkpoint, &reason);
	if (outcome == OK)
		return stored_is_good(heads, memory, &checkpoint, complaint);
	return (outcome == REFUSED && strcmp(reason.code, REASON_NOT_FOUND) == 0) ||
	       complain(complaint, "%s", reason.text);
}

struct heads *heads_open(
	const struct config *config, const struct vault_file *vault, struct complaint *complaint)
{
	const struct store_settings settings = { .uri = config->store,
		.use = STORE_READ,
		.node = config->node,
		.min_sync_standbys = STANDBYS_ANY,
		.patience_ms = config->deadline_ms };
	struct heads *heads = calloc(1, sizeof(*heads));

	if (!heads) {
		complain(complaint, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&heads->reading, NULL);
	pthread_mutex_init(&heads->lock, NULL);
	heads->config = config;
	heads->vault = vault;
	heads->store = store_open(&settings, complaint);
	for (size_t i = 0; heads->store && i < vault->n_members; i++)
		if (!member_load(heads, i, complaint)) {
			heads_close(heads);
			return NULL;
		}
	if (heads->store)
		return heads;
	heads_close(heads);
	return NULL;
}

void heads_close(struct heads *heads)
{
	if (!heads)
		return;
	if (heads->store)
		store_close(heads->store);
	pthread_mutex_destroy(&heads->reading);
	pthread_mutex_destroy(&heads->lock);
	free(heads);
}

/* ---- judging */

/* What is wrong, in words, with what to do about it. */
static void wrong_describe(struct heads *heads, const struct memory *memory, const struct signed_head *last,
	const struct signed_head *newest, struct complaint *complaint)
{
	const char *member = memory->signer.member;
	char when[TIMESTAMP_SIZE], mend[200];

	snprintf(mend, sizeof(mend),
		"if that is lost: vouchsafe restore --accept --reason TEXT --config %.100s",
		heads->config->path);
	timestamp_encode(last->seq > 0 ? last->time_us : memory->kept.time_us, when);
	if (last->seq == 0)
		complain(complaint,
			"%s has forgotten what it signed (event %lld at %s, says the store): somebody has "
			"removed "
			"its state, %.100s/%s.head; put it back, or, %s",
			member, memory->kept.seq, when, heads->vault->state, member, mend);
	else if (last->seq < memory->kept.seq)
		complain(complaint,
			"%s remembers event %lld at %s, and the store holds its signature of event %lld: "
			"somebody "
			"has put an older state in its place, %.100s/%s.head; put the newer one back, or, %s",
			member, last->seq, when, memory->kept.seq, heads->vault->state, member, mend);
	else if (last->seq > newest->seq)
		complain(complaint,
			"%s has signed event %lld at %s, and the store ends with event %lld: %lld events are "
			"missing, an older database was put in its place; put the newer one back, or, %s",
			member, last->seq, when, newest->seq, last->seq - newest->seq, mend);
	else
		complain(complaint,
			"%s has signed another event %lld, at %s, than the store holds: another database was "
			"put in "
			"its place, which has gone its own way; put the right one back, or, %s",
			member, last->seq, when, mend);
}

static void alarm_set(struct heads *heads, struct memory *memory, const struct complaint *complaint)
{
	bool news;

	pthread_mutex_lock(&heads->lock);
	news = strcmp(memory->alarm, complaint->text) != 0;
	snprintf(memory->alarm, sizeof(memory->alarm), "%s", complaint->text);
	pthread_mutex_unlock(&heads->lock);
	if (news)
		log_line(LOG_ERROR, "store-behind", "member", memory->signer.member, "text", complaint->text,
			NULL);
}

static void alarm_end(struct heads *heads, struct memory *memory)
{
	bool news;

	pthread_mutex_lock(&heads->lock);
	news = memory->alarm[0] != '\0';
	memory->alarm[0] = '\0';
	pthread_mutex_unlock(&heads->lock);
	if (news)
		log_line(LOG_INFO, "store-agrees", "member", memory->signer.member, "text",
			"the store holds again what it has signed", NULL);
}

/* *stands only with the store's own word for it. */
static enum outcome memory_stands(struct heads *heads, const struct memory *memory,
	const struct signed_head *last, bool *stands, struct signed_head *newest, struct reason *reason)
{
	enum outcome outcome = OK;

	*newest = (struct signed_head){ 0 };
	*stands = last->seq == 0 && memory->kept.seq == 0;
	if (last->seq == 0 || last->seq < memory->kept.seq)
		return OK;
	pthread_mutex_lock(&heads->reading);
	outcome = store_head_stands(heads->store, last, stands, newest, reason);
	pthread_mutex_unlock(&heads->reading);
	return outcome;
}

static enum outcome look(struct heads *heads, struct memory *memory, const struct signed_head *last,
	struct complaint *complaint)
{
	struct signed_head newest;
	struct reason reason;
	bool stands;
	enum outcome outcome = memory_stands(heads, memory, last, &stands, &newest, &reason);

	if (outcome != OK) {
		complain(complaint, "%s", reason.text);
		return UNAVAILABLE;
	}
	if (stands) {
		alarm_end(heads, memory);
		return OK;
	}
	wrong_describe(heads, memory, last, &newest, complaint);
	alarm_set(heads, memory, complaint);
	return REFUSED;
}

bool heads_judge(
	void *context, const char *member, const struct signed_head *last, struct complaint *complaint)
{
	struct heads *heads = context;

	for (size_t i = 0; i < heads->vault->n_members; i++)
		if (strcmp(heads->members[i].signer.member, member) == 0)
			return look(heads, &heads->members[i], last, complaint) == OK;
	return complain(complaint, "no such member");
}

enum outcome heads_look(struct heads *heads, size_t i, const struct signed_head *last, struct reason *reason)
{
	struct complaint complaint = { "" };
	enum outcome outcome = look(heads, &heads->members[i], last, &complaint);

	if (outcome == OK)
		return OK;
	unavailable(reason, REASON_STORE, "%.200s", complaint.text);
	return outcome;
}

bool heads_alarmed(struct heads *heads, struct complaint *complaint)
{
	bool alarmed = false;

	pthread_mutex_lock(&heads->lock);
	for (size_t i = 0; i < heads->vault->n_members && !alarmed; i++) {
		alarmed = heads->members[i].alarm[0] != '\0';
		if (alarmed && complaint)
			complain(complaint, "%s", heads->members[i].alarm);
	}
	pthread_mutex_unlock(&heads->lock);
	return alarmed;
}

/* ---- checkpoints */

const struct signer *heads_signer(const struct heads *heads, size_t i)
{
	return &heads->members[i].signer;
}

void heads_signed(struct heads *heads, size_t i, long long seq, long long now_us)
{
	alarm_end(heads, &heads->members[i]);
	pthread_mutex_lock(&heads->lock);
	heads->members[i].signed_seq = seq;
	heads->members[i].signed_us = now_us;
	pthread_mutex_unlock(&heads->lock);
}

long long heads_last_signed(struct heads *heads, size_t i, long long *time_us)
{
	long long seq;

	pthread_mutex_lock(&heads->lock);
	seq = heads->members[i].signed_seq;
	*time_us = heads->members[i].signed_us;
	pthread_mutex_unlock(&heads->lock);
	return seq;
}

bool heads_enter(struct heads *heads)
{
	bool may;

	pthread_mutex_lock(&heads->lock);
	may = !heads->entered;
	heads->entered = true;
	pthread_mutex_unlock(&heads->lock);
	return may;
}

void heads_leave(struct heads *heads)
{
	pthread_mutex_lock(&heads->lock);
	heads->entered = false;
	pthread_mutex_unlock(&heads->lock);
}
