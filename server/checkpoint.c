/* The line of a checkpoint. The members are asked while no transaction is open; what they sign is kept in a
 * short one of its own behind it. Must never have a member sign a head before the store has been seen to hold
 * what that member signed last: a trail that has lost events grows past it, and the loss would be forgotten.
 */
#include "server/checkpoint.h"

#include "server/heads.h"
#include "server/metrics.h"
#include "server/pipeline.h"
#include "server/server.h"
#include "vault/log.h"
#include "verifier/reasons.h"

#include <stdlib.h>
#include <time.h>

enum { DEADLINE_S = 60 };

struct round {
	struct work work; /* first */
	struct server *server;
	long long now_us;
	struct signed_head head;
	struct asked {
		bool asked;
		enum outcome outcome; /* of the last step so far */
		struct signed_head last; /* that it has signed */
		struct checkpoint checkpoint;
		struct reason reason;
	} members[MEMBERS_MAX];
};

/* On the committer's thread: what its handle has seen committed. Nobody is asked for what he has signed. */
static enum outcome head_take(struct work *work)
{
	struct round *round = (struct round *)work;
	struct heads *heads = round->server->heads;
	bool alarmed = heads_alarmed(heads, NULL), any = false;
	long long time_us;

	store_head_seen(round->server->store, &round->head);
	round->head.time_us = round->now_us;
	for (size_t i = 0; vault_member_name(round->server->vault, i); i++) {
		round->members[i].asked = alarmed || heads_last_signed(heads, i, &time_us) < round->head.seq;
		any = any || round->members[i].asked;
	}
	if (round->head.seq > 0 && any)
		return OK;
	return refused(&work->reason, REASON_NOT_FOUND, "nothing new to sign");
}

static enum outcome last_ask(struct work *work)
{
	struct round *round = (struct round *)work;

	for (size_t i = 0; i < MEMBERS_MAX; i++) {
		struct asked *asked = &round->members[i];

		if (asked->asked)
			asked->outcome = vault_last_head(
				round->server->vault, i, &asked->last, &asked->reason);
	}
	return OK;
}

/* Does the store hold it? Where it is newer than ours, the other node keeps that signature. */
static enum outcome look(struct work *work)
{
	struct round *round = (struct round *)work;

	for (size_t i = 0; i < MEMBERS_MAX; i++) {
		struct asked *asked = &round->members[i];

		if (!asked->asked || asked->outcome != OK)
			continue;
		asked->outcome = heads_look(round->server->heads, i, &asked->last, &asked->reason);
		if (asked->outcome == OK && asked->last.seq > round->head.seq) {
			heads_signed(round->server->heads, i, round->head.seq, round->now_us);
			asked->asked = false;
		}
	}
	return OK;
}

/* Who refuses has signed for another node since he was asked: what, is looked at in the next round. */
static enum outcome sign(struct work *work)
{
	struct round *round = (struct round *)work;

	for (size_t i = 0; i < MEMBERS_MAX; i++) {
		struct asked *asked = &round->members[i];

		if (!asked->asked || asked->outcome != OK)
			continue;
		asked->outcome = vault_checkpoint(round->server->vault, i,
			heads_signer(round->server->heads, i), &round->head, &asked->checkpoint, &asked->last,
			&asked->reason);
		asked->asked = asked->outcome != REFUSED;
	}
	return OK;
}

static enum outcome keep(struct work *work)
{
	struct round *round = (struct round *)work;

	for (size_t i = 0; i < MEMBERS_MAX; i++) {
		struct asked *asked = &round->members[i];

		if (!asked->asked || asked->outcome != OK)
			continue;
		asked->outcome = store_checkpoint_put(
			round->server->store, &asked->checkpoint, &asked->reason);
		if (asked->outcome == OK)
			heads_signed(round->server->heads, i, round->head.seq, round->now_us);
	}
	return OK;
}

static void round_end(struct round *round)
{
	for (size_t i = 0; i < MEMBERS_MAX; i++) {
		const struct asked *asked = &round->members[i];

		if (!asked->asked)
			continue;
		metrics_checkpoint(round->server->metrics, asked->outcome == OK);
		if (asked->outcome != OK)
			log_line(LOG_WARNING, "no-checkpoint", "member",
				vault_member_name(round->server->vault, i), "text", asked->reason.text, NULL);
	}
	heads_leave(round->server->heads);
	free(round);
}

static void end(struct work *const batch[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		round_end((struct round *)batch[i]);
}

static const struct step checkpoint_line[] = {
	/* clang-format off */
	{ "head", COMMITTER, .one = head_take },
	{ "last", VAULT,     .one = last_ask },
	{ "look", READERS,   .one = look },
	{ "sign", VAULT,     .one = sign },
	{ "keep", COMMITTER, .one = keep },
	{ "end",  LISTENER,  .batch = end, .even_if_refused = true },
	{ 0 }
	/* clang-format on */
};

bool checkpoint_take(struct server *server)
{
	struct round *round;
	struct timespec now;

	if (!heads_enter(server->heads))
		return false;
	round = calloc(1, sizeof(*round));
	if (!round || !pipeline_reserve(server->pipeline)) {
		free(round);
		heads_leave(server->heads);
		return false;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	round->server = server;
	round->now_us = (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	round->work.deadline = pipeline_now() + DEADLINE_S * 1000000000LL;
	pipeline_enter(server->pipeline, &round->work, checkpoint_line);
	return true;
}
