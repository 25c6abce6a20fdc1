/* `vouchsafe restore --accept`: an operator says that an older database is the true one. First everything is
 * looked at, then it is written down, and only then the members are told, so that a run which is cut short
 * leaves an event without effect and never an effect without an event. */
#include "cli/accept.h"

#include "store/heads.h"
#include "vault/setup_child.h"
#include "verifier/encoding.h"
#include "verifier/reasons.h"

#include <string.h>
#include <time.h>

/* What one member has to give up. */
struct giving {
	const struct vault_file_member *member;
	struct lost_head lost;
};

struct accept {
	const struct setup *setup;
	long long now_us;
	size_t n;
	struct giving giving[MEMBERS_MAX];
};

static bool ask_last(const struct setup *setup, const struct vault_file_member *member, enum last *last,
	struct signed_head *head, struct complaint *complaint)
{
	struct child child;
	struct member_pin pin;
	struct frame request, answer;
	bool asked;

	if (!member_start(setup, member, -1, &child, &pin, complaint))
		return false;
	frame_start(&request, FRAME_SETUP_LAST);
	asked = child_ask(&child, member->name, &request, FRAME_LAST_IS, &answer, complaint);
	if (asked) {
		asked = answer_last(&answer, last, head) ||
			complain(complaint, "%s: a malformed answer", member->name);
		frame_clear(&answer);
	}
	child_end(&child);
	return asked;
}

/* Does the store hold what it signed, or may it have signed nothing? */
static enum outcome head_stands(const struct setup *setup, const char *member, enum last last,
	const struct signed_head *head, bool *stands, struct reason *reason)
{
	struct checkpoint checkpoint;
	struct signed_head newest;
	enum outcome outcome = store_checkpoint_newest(setup->store, member, &checkpoint, reason);
	bool signed_before = outcome == OK;

	*stands = false;
	if (outcome != OK && (outcome != REFUSED || strcmp(reason->code, REASON_NOT_FOUND) != 0))
		return outcome;
	if (last == LAST_NONE)
		*stands = !signed_before;
	if (last != LAST_SIGNED || (signed_before && head->seq < checkpoint.head.seq))
		return OK;
	return store_head_stands(setup->store, head, stands, &newest, reason);
}

static bool member_look(
	struct accept *accept, const struct vault_file_member *member, struct complaint *complaint)
{
	const struct setup *setup = accept->setup;
	struct giving *giving = &accept->giving[accept->n];
	char time[TIMESTAMP_SIZE];
	struct reason reason;
	enum last last = LAST_NONE;
	bool stands;

	*giving = (struct giving){ .member = member };
	if (!ask_last(setup, member, &last, &giving->lost.head, complaint))
		return false;
	if (head_stands(setup, member->name, last, &giving->lost.head, &stands, &reason) != OK)
		return complain(complaint, "%s", reason.text);
	if (stands)
		return true;
	memcpy(giving->lost.member, member->name, sizeof(giving->lost.member));
	timestamp_encode(giving->lost.head.time_us, time);
	if (last == LAST_SIGNED)
		setup_say(setup, member->name, "has signed event %lld at %s, which the store does not hold",
			giving->lost.head.seq, time);
	else
		setup_say(setup, member->name, "does not know any more what it has signed");
	accept->n++;
	return true;
}

static bool member_tell(const struct accept *accept, const struct vault_file_member *member,
	const struct signed_head *head, struct complaint *complaint)
{
	struct child child;
	struct member_pin pin;
	struct frame request, answer;
	bool told;

	if (!member_start(accept->setup, member, -1, &child, &pin, complaint))
		return false;
	frame_start(&request, FRAME_SETUP_ACCEPT);
	frame_put_head(&request, head);
	frame_put_long(&request, accept->now_us);
	told = child_ask(&child, member->name, &request, FRAME_DONE, &answer, complaint);
	if (told)
		frame_clear(&answer);
	child_end(&child);
	if (told)
		setup_say(accept->setup, member->name, "takes event %lld for the last one", head->seq);
	return told;
}

/* The event, or the one of a run that was cut short. */
static bool write_down(
	const struct accept *accept, const char *why, struct signed_head *head, struct complaint *complaint)
{
	struct lost_head lost[MEMBERS_MAX];
	const struct restore restore = { .actor = accept->setup->actor,
		.reason = why,
		.lost = lost,
		.n_lost = accept->n,
		.now_us = accept->now_us };
	struct reason reason;
	bool again;

	for (size_t i = 0; i < accept->n; i++)
		lost[i] = accept->giving[i].lost;
	if (store_restore(accept->setup->store, &restore, head, &again, &reason) != OK)
		return complain(complaint, "%s", reason.text);
	setup_say(accept->setup, "store", "event %lld%s", head->seq,
		again ? ": an earlier run has written this restore down" : " is store.restored");
	return true;
}

bool restore_accept(const struct setup *setup, const char *reason, struct complaint *complaint)
{
	struct accept accept = { .setup = setup };
	struct signed_head head;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	accept.now_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
	for (unsigned i = 0; i < setup->file->n_members; i++)
		if (!member_look(&accept, &setup->file->members[i], complaint))
			return false;
	if (accept.n == 0)
		return complain(complaint,
			"there is nothing to accept: the store holds what its members have signed");
	if (!write_down(&accept, reason, &head, complaint))
		return false;
	for (size_t i = 0; i < accept.n; i++)
		if (!member_tell(&accept, accept.giving[i].member, &head, complaint))
			return false;
	return true;
}
