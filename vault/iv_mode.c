/* The experiment that finds out who makes the IV. It believes no mechanism flag and no documentation: each
 * way is tried with throw-away keys, and only one that passes every test is taken. Must never accept a token
 * that uses a fixed IV or does not check its tags. */
#include "vault/wrap.h"

#include <openssl/rand.h>

#include <string.h>

enum { KEY = 32, TAG = 16 };

static const unsigned char right_text[] = "vouchsafe experiment: right",
			   wrong_text[] = "vouchsafe experiment: wrong";
static const struct bytes right = { right_text, sizeof(right_text) },
			  wrong = { wrong_text, sizeof(wrong_text) };

struct sample {
	unsigned char wrap[WRAP_MAX];
	size_t length;
};

/* Where a sample's IV lies: at its end where the token appends it, else at its start. */
static struct bytes sample_iv(const struct sample *sample, enum iv_mode mode)
{
	return mode == IV_APPENDED ? (struct bytes){ sample->wrap + KEY + TAG, 16 }
				   : (struct bytes){ sample->wrap, 12 };
}

static bool samples_differ(const struct sample *a, const struct sample *b, enum iv_mode mode)
{
	size_t text_at = mode == IV_APPENDED ? 0 : 12;

	return memcmp(sample_iv(a, mode).data, sample_iv(b, mode).data, sample_iv(a, mode).length) != 0 &&
	       memcmp(a->wrap + text_at, b->wrap + text_at, KEY) != 0;
}

/* Every change to what was wrapped must be refused: associated data, IV, text, tag. */
static bool changes_are_refused(struct token_session *session, enum iv_mode mode, const struct sample *sample,
	struct complaint *complaint)
{
	struct complaint expected;
	struct sample changed;
	unsigned char key[KEY];

	if (wrap_open(session, mode, wrong, (struct bytes){ sample->wrap, sample->length }, key, &expected))
		return complain(complaint, "the token accepts other associated data");
	for (size_t i = 0; i < sample->length; i += 4) {
		changed = *sample;
		changed.wrap[i] ^= 1;
		if (wrap_open(session, mode, right, (struct bytes){ changed.wrap, changed.length }, key,
			    &expected))
			return complain(complaint, "the token accepts a text whose byte %zu was changed", i);
	}
	return true;
}

static bool mode_works(struct token_session *session, enum iv_mode mode, struct complaint *complaint)
{
	struct sample one, two;
	unsigned char key[KEY], opened[KEY];

	if (RAND_bytes(key, sizeof(key)) != 1)
		return complain(complaint, "no random bytes");
	if (!wrap_seal(session, mode, right, key, one.wrap, &one.length, complaint) ||
		!wrap_seal(session, mode, right, key, two.wrap, &two.length, complaint))
		return false;
	if (!samples_differ(&one, &two, mode))
		return complain(complaint, "two encryptions of the same are the same: the IV is fixed");
	if (!changes_are_refused(session, mode, &one, complaint))
		return false;
	for (int i = 0; i < 2; i++) {
		const struct sample *sample = i == 0 ? &one : &two;

		memset(opened, 0, sizeof(opened));
		if (!wrap_open(session, mode, right, (struct bytes){ sample->wrap, sample->length }, opened,
			    complaint))
			return false;
		if (memcmp(opened, key, sizeof(key)) != 0)
			return complain(complaint, "what was wrapped comes back as something else");
	}
	return true;
}

bool iv_mode_find(struct token_session *session, enum iv_mode *mode, struct complaint *complaint)
{
	/* the token's own IV in our buffer before the appended one: with neither our IV nor a place for one,
	 * a bad token is most tempted to take a fixed one */
	static const enum iv_mode modes[] = { IV_HOST, IV_FILLED, IV_APPENDED };
	struct complaint whys[3];

	for (size_t i = 0; i < 3; i++) {
		if (mode_works(session, modes[i], &whys[i])) {
			*mode = modes[i];
			return true;
		}
	}
	return complain(complaint,
		"AES-GCM of this token cannot be used. IV from the host: %.150s. IV in our buffer: %.150s. "
		"IV appended: %.150s",
		whys[0].text, whys[1].text, whys[2].text);
}
