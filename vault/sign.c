/* Signing the trail's head. The state is read anew for each request: `vouchsafe restore --accept` changes it
 * from another process. Must never give out a signature before the state that goes with it is durable. */
#include "vault/sign.h"
#include "vault/checkpoint.h"
#include "vault/head.h"
#include "vault/log.h"

#include <stdio.h>
#include <string.h>

void signer_label(const struct vault_file *file, char label[SIGNER_LABEL_SIZE])
{
	snprintf(label, SIGNER_LABEL_SIZE, "vouchsafe %s checkpoints", file->id);
}

bool sign_start(struct service *service, struct complaint *complaint)
{
	const struct vault_file *file = service->file;
	struct head_folder folder;
	struct head_state state;
	enum head_found found;

	if (!head_open(&folder, file->state, file->id, service->self->name, complaint))
		return false;
	found = head_load(&folder, &state, complaint);
	head_close(&folder);
	service->state_refused = found == HEAD_UNREADABLE;
	if (found == HEAD_NONE)
		log_line(LOG_INFO, "nothing-signed-yet", "member", service->self->name, "state", file->state,
			NULL);
	atomic_store(&service->seals, state.seals);
	return found != HEAD_UNREADABLE;
}

/* Is this head behind what was signed, or beside it? */
static bool is_behind(const struct signed_head *last, const struct signed_head *head)
{
	return head->seq < last->seq ||
	       (head->seq == last->seq && memcmp(head->hash, last->hash, sizeof(head->hash)) != 0);
}

static void refuse_behind(
	const struct service *service, const struct head_state *state, long long seq, struct frame *answer)
{
	char asked[24], last[24];

	snprintf(asked, sizeof(asked), "%lld", seq);
	snprintf(last, sizeof(last), "%lld", state->head.seq);
	log_line(LOG_INFO, "head-not-signed", "member", service->self->name, "seq", asked, "signed", last,
		"text", "a newer head, or another one of the same number, has been signed before", NULL);
	frame_start(answer, FRAME_BEHIND);
	frame_put_head(answer, &state->head);
}

/* A session with the key that the request means. */
static bool signer_ready(struct worker *worker, const struct member_pin *pin, struct complaint *complaint)
{
	char label[SIGNER_LABEL_SIZE];

	if (strcmp(pin->token_serial, token_serial(worker->service->token)) != 0)
		return complain(complaint,
			"the token of that label has another serial number than the one that was pinned");
	if (worker->session == NULL)
		worker->session = token_session_open(worker->service->token, complaint);
	signer_label(worker->service->file, label);
	return worker->session != NULL && token_signer_choose(worker->session, pin->key_id, label, complaint);
}

static bool sign(struct worker *worker, const struct request *request, struct checkpoint *checkpoint,
	struct complaint *complaint)
{
	const struct service *service = worker->service;
	unsigned char digest[32];

	snprintf(checkpoint->member, sizeof(checkpoint->member), "%s", service->self->name);
	if (signer_ready(worker, &request->pin, complaint) &&
		checkpoint_digest(service->file->id, checkpoint, digest) &&
		token_sign(worker->session, digest, checkpoint->signature, complaint))
		return true;
	/* whatever is wrong with the session, the next request has a new one; the canary revives the login */
	token_session_close(worker->session);
	worker->session = NULL;
	return false;
}

static void sign_and_keep(struct worker *worker, const struct head_folder *folder, struct head_state *state,
	const struct request *request, struct frame *answer)
{
	struct checkpoint checkpoint = { .head = request->head,
		.seals = atomic_load(&worker->service->seals) };
	struct complaint why = { "the checkpoint cannot be made" };
	char seq[24];

	if (!sign(worker, request, &checkpoint, &why)) {
		frame_start_error(answer, ERROR_TOKEN, why.text);
		return;
	}
	state->head = checkpoint.head;
	state->seals = checkpoint.seals;
	if (!head_store(folder, state, &why)) {
		log_line(LOG_ERROR, "head-not-kept", "member", folder->member, "text", why.text, NULL);
		frame_start_error(answer, ERROR_STATE, why.text);
		return;
	}
	snprintf(seq, sizeof(seq), "%lld", checkpoint.head.seq);
	log_line(LOG_INFO, "checkpoint-signed", "member", folder->member, "seq", seq, NULL);
	frame_start(answer, FRAME_SIGNED);
	frame_put_long(answer, checkpoint.seals);
	frame_put_bytes(answer, (struct bytes){ checkpoint.signature, sizeof(checkpoint.signature) });
}

/* Opens the folder and reads what is there; the error's answer otherwise. */
static enum head_found state_open(const struct service *service, struct head_folder *folder,
	struct head_state *state, struct frame *answer)
{
	struct complaint why = { "" };
	enum head_found found = HEAD_UNREADABLE;

	if (head_open(folder, service->file->state, service->file->id, service->self->name, &why))
		found = head_load(folder, state, &why);
	if (found == HEAD_UNREADABLE) {
		log_line(LOG_ERROR, "head-unreadable", "member", service->self->name, "text", why.text, NULL);
		frame_start_error(answer, ERROR_STATE, why.text);
	}
	return found;
}

void serve_checkpoint(struct worker *worker, const struct request *request, struct frame *answer)
{
	const struct service *service = worker->service;
	struct head_folder folder;
	struct head_state state;
	enum head_found found = state_open(service, &folder, &state, answer);

	if (found == HEAD_FOUND && is_behind(&state.head, &request->head))
		refuse_behind(service, &state, request->head.seq, answer);
	else if (found != HEAD_UNREADABLE)
		sign_and_keep(worker, &folder, &state, request, answer);
	head_close(&folder);
}

void serve_last(const struct service *service, struct frame *answer)
{
	struct head_folder folder;
	struct head_state state;
	enum head_found found = state_open(service, &folder, &state, answer);

	head_close(&folder);
	if (found == HEAD_UNREADABLE)
		return;
	frame_start(answer, FRAME_LAST_IS);
	frame_put_number(answer, found == HEAD_FOUND ? LAST_SIGNED : LAST_NONE);
	frame_put_head(answer, &state.head);
}
