/* What the server asks its members about the trail's head. Must never take a signature that is not the pinned
 * key's over exactly what was asked for. */
#include "vault/checkpoint.h"
#include "vault/client_inside.h"
#include "verifier/reasons.h"

#include <stdio.h>
#include <string.h>

bool link_last_head(struct link *link, int socket, struct signed_head *last, char why[ANSWER_TEXT_SIZE])
{
	struct frame request, answer;
	enum frame_error error;
	enum frame_result result;
	enum last known;
	bool told = false;

	*last = (struct signed_head){ 0 };
	frame_start(&request, FRAME_LAST);
	result = frame_exchange(socket, &request, &answer, link_try_until(link->vault, 0));
	if (result != FRAME_OK)
		snprintf(why, ANSWER_TEXT_SIZE, "%s", frame_result_text(result));
	else if (answer_last(&answer, &known, last) && known != LAST_UNREADABLE)
		told = true;
	else if (!answer_error(&answer, &error, why))
		snprintf(why, ANSWER_TEXT_SIZE, "it answered with nonsense");
	frame_clear(&answer);
	frame_clear(&request);
	return told;
}

enum outcome vault_last_head(struct vault *vault, size_t i, struct signed_head *last, struct reason *reason)
{
	struct link *link = &vault->links[i];
	struct frame request, answer;
	enum frame_result result;
	enum last known;
	enum outcome outcome = OK;

	*last = (struct signed_head){ 0 };
	if (atomic_load(&link->state) != MEMBER_UP)
		return unavailable(reason, REASON_VAULT, "%s: it is not up", link->place->name);
	frame_start(&request, FRAME_LAST);
	result = link_ask(link, &request, &answer, link_try_until(vault, 0));
	if (result != FRAME_OK || !answer_last(&answer, &known, last) || known == LAST_UNREADABLE)
		outcome = link_asked_in_vain(link, result, &answer, reason);
	frame_clear(&answer);
	frame_clear(&request);
	return outcome;
}

/* The answer to a request for a signature, as far as it is one. */
static enum outcome signing_take(const struct vault *vault, const struct frame *answer,
	const struct signer *signer, struct checkpoint *checkpoint, struct reason *reason)
{
	if (!answer_signed(answer, &checkpoint->seals, checkpoint->signature))
		return unavailable(reason, REASON_VAULT, "%s: it answered with nonsense", signer->member);
	if (!checkpoint_verify(vault->file.id, checkpoint, signer->public_key))
		return unavailable(reason, REASON_VAULT,
			"%s: its signature is not one by the key that was pinned", signer->member);
	return OK;
}

enum outcome vault_checkpoint(struct vault *vault, size_t i, const struct signer *signer,
	const struct signed_head *head, struct checkpoint *checkpoint, struct signed_head *last,
	struct reason *reason)
{
	struct link *link = &vault->links[i];
	struct frame request, answer;
	enum frame_result result;
	enum outcome outcome;

	*checkpoint = (struct checkpoint){ .head = *head };
	snprintf(checkpoint->member, sizeof(checkpoint->member), "%s", signer->member);
	if (atomic_load(&link->state) != MEMBER_UP)
		return unavailable(reason, REASON_VAULT, "%s: it is not up", signer->member);
	frame_start(&request, FRAME_CHECKPOINT);
	frame_put_text(&request, link->pin.token_serial);
	frame_put_text(&request, signer->key_id);
	frame_put_head(&request, head);
	result = link_ask(link, &request, &answer, link_try_until(vault, 0));
	if (result == FRAME_OK && answer.type == FRAME_SIGNED)
		outcome = signing_take(vault, &answer, signer, checkpoint, reason);
	else if (result == FRAME_OK && answer_behind(&answer, last))
		outcome = refused(
			reason, REASON_VAULT, "%s has signed event %lld already", signer->member, last->seq);
	else
		outcome = link_asked_in_vain(link, result, &answer, reason);
	frame_clear(&answer);
	frame_clear(&request);
	return outcome;
}
