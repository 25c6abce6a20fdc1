/* vault.json: refused with the place and the mend, or one vault with its members. */
#include "tests/fuzz/file.h"
#include "vault/file.h"
#include "verifier/encoding.h"

#include <string.h>

static void member_fits(const struct vault_file_member *member)
{
	size_t label = strlen(member->token);

	MUST_HOLD(name_valid(member->name));
	MUST_HOLD(member->module[0] == '/' && member->socket[0] == '/' && member->pin_file[0] == '/');
	MUST_HOLD(!member->so_pin_file[0] || member->so_pin_file[0] == '/');
	MUST_HOLD(!member->init_if_blank || member->so_pin_file[0]);
	MUST_HOLD(label >= 1 && label <= 32 && member->token[label - 1] != ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vault_file file;
	struct complaint complaint = { "" };
	const char *path = file_of(data, size);

	if (!vault_file_load(path, &file, &complaint)) {
		MUST_HOLD(strncmp(complaint.text, path, strlen(path)) == 0);
		return 0;
	}
	MUST_HOLD(uuid_valid(file.id));
	MUST_HOLD(file.deadline_ms >= 10 && file.poll_ms >= 10);
	MUST_HOLD(file.n_members >= 1 && file.n_members <= MEMBERS_MAX);
	for (unsigned i = 0; i < file.n_members; i++) {
		member_fits(&file.members[i]);
		MUST_HOLD(vault_file_member(&file, file.members[i].name) == &file.members[i]);
	}
	return 0;
}
