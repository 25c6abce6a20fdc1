/* Requests one after the other into the socket, answers in their order out of it. An answer belongs to the
 * oldest request without one, whether anybody still waits for it or not: so nobody gets another's. */
#include "vault/exchange.h"

#include <poll.h>

struct run {
	struct exchange *exchange;
	int socket;
	unsigned made; /* requests of the exchange that were made or left out */
	struct frame request; /* that is being sent; without data: none is */
	size_t sent; /* of it */
	unsigned asked[EXCHANGE_MAX]; /* which were sent, or are being sent, in order */
	unsigned n_asked, n_answered;
	struct frame_part part; /* the answer that is coming */
	long long since; /* when the last answer came, or the start */
	bool deaf; /* the other side takes no more; what it has answered may be there yet */
};

static bool all_over(const struct exchange *exchange)
{
	for (unsigned i = 0; i < exchange->n; i++)
		if (!exchange->over[i])
			return false;
	return true;
}

static bool sending(const struct run *run)
{
	return run->request.data != NULL;
}

/* Is there a request to be sent? The next is made when the one before it has gone: one at a time in memory.
 */
static bool request_there(struct run *run)
{
	struct exchange *exchange = run->exchange;

	while (!sending(run) && run->made < exchange->n) {
		unsigned i = run->made++;

		if (exchange->over[i])
			continue;
		run->sent = 0;
		if (exchange->request(exchange->context, i, &run->request)) {
			run->asked[run->n_asked++] = i;
		} else {
			frame_clear(&run->request);
			exchange->over[i] = true;
		}
	}
	return sending(run);
}

static void requests_send(struct run *run)
{
	while (!run->deaf && request_there(run)) {
		enum frame_result result = frame_send_some(run->socket, &run->request, &run->sent);

		if (result == FRAME_PART)
			return;
		frame_clear(&run->request);
		run->deaf = result != FRAME_OK;
	}
}

/* False: the other side is not to be believed any more. */
static bool answer_take(struct run *run, const struct frame *answer)
{
	struct exchange *exchange = run->exchange;
	unsigned i = run->asked[run->n_answered++];
	bool whole = !sending(run) || run->n_answered < run->n_asked; /* had it the whole request? */
	bool good = exchange->over[i] || exchange->answer(exchange->context, i, answer);

	run->since = frame_clock();
	exchange->over[i] = true;
	return good && whole;
}

/* As many as are there. */
static enum frame_result answers_take(struct run *run)
{
	while (run->n_answered < run->n_asked) {
		struct frame answer;
		enum frame_result result = frame_receive_some(run->socket, &run->part, &answer);
		bool good;

		if (result != FRAME_OK)
			return result == FRAME_PART ? FRAME_OK : result;
		good = answer_take(run, &answer);
		frame_clear(&answer);
		if (!good)
			return FRAME_BROKEN;
	}
	return FRAME_OK;
}

/* Gives up whoever's own deadline has passed; the first moment at which there is something to give up. */
static long long deadlines_look(struct exchange *exchange, long long now, long long until)
{
	for (unsigned i = 0; i < exchange->n; i++) {
		if (exchange->over[i] || exchange->deadlines[i] == 0)
			continue;
		if (exchange->deadlines[i] <= now) {
			exchange->over[i] = true;
			exchange->late(exchange->context, i);
		} else if (exchange->deadlines[i] < until) {
			until = exchange->deadlines[i];
		}
	}
	return until;
}

/* Until something can go on, or something is late. What had come by now is taken already. */
static enum frame_result run_wait(struct run *run)
{
	long long silent = run->since + run->exchange->patience, now = frame_clock();
	long long until = deadlines_look(run->exchange, now, silent);
	enum frame_result result;

	if (run->deaf)
		return FRAME_CLOSED;
	if (now >= silent)
		return FRAME_LATE;
	if (all_over(run->exchange))
		return FRAME_OK;
	result = frame_wait(run->socket, (short)(sending(run) ? POLLIN | POLLOUT : POLLIN), until);
	return result == FRAME_LATE ? FRAME_OK : result; /* who is late is seen the next time */
}

enum frame_result exchange_run(int socket, struct exchange *exchange)
{
	struct run run = { .exchange = exchange, .socket = socket, .since = frame_clock() };
	enum frame_result result = FRAME_OK;

	deadlines_look(exchange, run.since, run.since);
	while (result == FRAME_OK && !all_over(exchange)) {
		requests_send(&run);
		result = answers_take(&run);
		if (result == FRAME_OK && !all_over(exchange))
			result = run_wait(&run);
	}
	if (result == FRAME_OK && (sending(&run) || run.n_answered < run.n_asked))
		result = FRAME_LATE;
	frame_part_clear(&run.part);
	frame_clear(&run.request);
	return result;
}
