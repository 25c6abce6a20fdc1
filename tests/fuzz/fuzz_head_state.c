/* A member's state as it comes off the disk: what is taken is, byte for byte, what would be written for it;
 * so nothing that somebody has changed passes for what was signed. */
#include "tests/fuzz/fuzz.h"
#include "vault/head.h"

#include <string.h>

#define VAULT "5b0c7f0e-6c1e-4a53-9d53-0b6f5d1a7c11"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct head_state none;
	struct complaint complaint = { "" };
	struct head_state state;
	char text[HEAD_TEXT_MAX];

	if (!head_read((struct bytes){ data, size }, VAULT, "hsm-a", &state, &complaint)) {
		MUST_HOLD(complaint.text[0] && memcmp(&state, &none, sizeof(none)) == 0);
		return 0;
	}
	MUST_HOLD(state.head.seq >= 1 && state.seals >= 0 && state.n_former <= HEAD_FORMER_MAX);
	MUST_HOLD(head_write(&state, VAULT, "hsm-a", text) == size && memcmp(text, data, size) == 0);
	/* and it is nobody else's */
	MUST_HOLD(!head_read((struct bytes){ data, size }, VAULT, "hsm-b", &state, &complaint));
	return 0;
}
