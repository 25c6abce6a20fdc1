/* The vault file: read as written, and refused with its place and the mend. */
#include "tests/unit/vault_fixture.h"

static struct place place;
static struct vault_file file;

static bool loads(const char *text, struct complaint *complaint)
{
	text_write(place.vault, text, 0644);
	*complaint = (struct complaint){ "" };
	return vault_file_load(place.vault, &file, complaint);
}

#define HEAD "{\"vault\": \"" VAULT_ID "\",\n"
#define REST "\"module\": \"/m.so\", \"token\": \"t\", \"socket\": \"s\", \"pin_file\": \"p\""

static void good_files_are_read(void **state)
{
	struct complaint complaint;
	char path[256];

	(void)state;
	if (!loads(HEAD "\"deadline\": \"250ms\", \"poll\": \"5s\", \"members\": [{\"name\": \"hsm-a\", "
			"\"module\": \"/m.so\", "
			"\"token\": \"a b\", \"socket\": \"/run/x.sock\", \"pin_file\": \"p\", "
			"\"so_pin_file\": \"q\", "
			"\"standby\": false, \"init\": \"if-blank\"}]}",
		    &complaint))
		fail_msg("%s", complaint.text);
	assert_string_equal(file.id, VAULT_ID);
	assert_int_equal(file.deadline_ms, 250);
	assert_int_equal(file.poll_ms, 5000);
	assert_int_equal(file.n_members, 1);
	assert_string_equal(file.members[0].module, "/m.so");
	assert_string_equal(file.members[0].token, "a b");
	assert_string_equal(file.members[0].socket, "/run/x.sock");
	snprintf(path, sizeof(path), "%s/p", place.folder);
	assert_string_equal(file.members[0].pin_file, path);
	snprintf(path, sizeof(path), "%s/q", place.folder);
	assert_string_equal(file.members[0].so_pin_file, path);
	assert_true(file.members[0].init_if_blank);
	assert_ptr_equal(vault_file_member(&file, "hsm-a"), &file.members[0]);
	assert_null(vault_file_member(&file, "hsm-b"));
	assert_true(loads(HEAD "\"members\": [{\"name\": \"a\", " REST "}]}", &complaint));
	assert_int_equal(file.deadline_ms, 500);
	assert_int_equal(file.poll_ms, 60000);
	assert_int_equal(file.checkpoint_ms, 60000);
	assert_string_equal(file.state, "/var/lib/vouchsafe-vault");
	assert_true(loads(HEAD
		"\"checkpoint\": \"2s\", \"state\": \"signed\", \"members\": [{\"name\": \"a\", " REST "}]}",
		&complaint));
	assert_int_equal(file.checkpoint_ms, 2000);
	snprintf(path, sizeof(path), "%s/signed", place.folder);
	assert_string_equal(file.state, path);
	assert_true(loads(HEAD "\"members\": [{\"name\": \"a\", " REST "}]}", &complaint));
	assert_false(file.members[0].init_if_blank);
	assert_string_equal(file.members[0].so_pin_file, "");
}

static void bad_files_are_refused_at_their_place(void **state)
{
	static const struct {
		const char *text, *place, *what;
	} rows[] = {
		{ "", ":1:", "JSON" },
		{ "{}", ":1:1", "vault" },
		{ HEAD "\"members\": [{\"name\": \"a\", " REST "}, {\"name\": \"b\", " REST "}]}",
			":2:", "one member" },
		{ HEAD "\"state\": \"\", \"members\": [{\"name\": \"a\", " REST "}]}", ":2:", "state" },
		{ HEAD "\"state\": 1, \"members\": [{\"name\": \"a\", " REST "}]}", ":2:", "state" },
		{ HEAD "\"checkpoint\": \"1ms\", \"members\": [{\"name\": \"a\", " REST "}]}",
			":2:", "checkpoint" },
		{ HEAD "\"members\": [{\"name\": \"a\",\n\"standby\": true, " REST "}]}", ":3:", "standby" },
		{ HEAD "\"members\": [{\"name\": \"a\",\n\"standby\": 1, " REST "}]}", ":3:", "standby" },
		{ HEAD "\"members\": [{\"name\": \"a\",\n\"init\": \"always\", " REST "}]}",
			":3:", "if-blank" },
		{ HEAD "\"members\": [{\"name\": \"a\",\n\"init\": \"if-blank\", " REST "}]}",
			":3:", "so_pin_file" },
		{ HEAD "\"members\": [{\"name\": \"A\", " REST "}]}", ":2:", "name" },
		{ HEAD "\"members\": [{\"name\": \"a\", \"pin\": \"1\", " REST "}]}", ":2:", "pin" },
		{ HEAD "\"members\": [{\"name\": \"a\", \"name\": \"a\", " REST "}]}", ":", "JSON" },
		{ HEAD "\"members\": [{" REST "}]}", ":2:", "name" },
		{ HEAD "\"members\": []}", ":2:", "members" },
		{ HEAD "\"members\": {}}", ":2:", "members" },
		{ HEAD "\"pol\": \"1s\"}", ":2:", "poll" },
		{ HEAD "\"poll\": \"1 s\", \"members\": [{\"name\": \"a\", " REST "}]}", ":2:", "poll" },
		{ HEAD "\"poll\": \"2h\", \"members\": [{\"name\": \"a\", " REST "}]}", ":2:", "poll" },
		{ HEAD "\"deadline\": \"1ms\", \"members\": [{\"name\": \"a\", " REST "}]}",
			":2:", "deadline" },
		{ HEAD "\"deadline\": 500, \"members\": [{\"name\": \"a\", " REST "}]}", ":2:", "deadline" },
		{ "{\"vault\": \"5B0C7F0E-0000-4000-8000-000000000001\", \"members\": []}", ":1:", "UUID" },
		{ "{\"vault\": \"5b0c7f0e00004000-8000-000000000001\", \"members\": []}", ":1:", "UUID" },
		{ "{\"vault\": \"5b0c7f0e-0000-4000-8000-0000000000012\", \"members\": []}", ":1:", "UUID" },
		{ HEAD "\"members\": [{\"name\": \"a\", \"module\": \"/m\", \"socket\": \"s\", \"pin_file\": "
		       "\"p\",\n\"token\": "
		       "\"0123456789abcdef0123456789abcdefX\"}]}",
			":3:", "token" },
		{ HEAD "\"members\": [{\"name\": \"a\", \"module\": \"/m\", \"socket\": \"s\", \"pin_file\": "
		       "\"p\",\n\"token\": "
		       "\"t \"}]}",
			":3:", "token" },
		{ HEAD "\"members\": [{\"name\": \"a\", \"module\": \"/m\", \"token\": \"s\", \"pin_file\": "
		       "\"p\",\n\"socket\": "
		       "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012"
		       "3456789abcde\"}]}",
			":3:", "socket" },
	};
	struct complaint complaint;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (loads(rows[i].text, &complaint))
			fail_msg("row %zu was taken", i);
		if (strncmp(complaint.text, place.vault, strlen(place.vault)) != 0 ||
			strstr(complaint.text, rows[i].place) == NULL ||
			strstr(complaint.text, rows[i].what) == NULL)
			fail_msg("row %zu: %s", i, complaint.text);
	}
}

static void files_that_are_none_are_refused(void **state)
{
	static char huge[70 * 1024];
	struct complaint complaint = { "" };

	(void)state;
	assert_false(vault_file_load("/nowhere/vault.json", &file, &complaint));
	assert_non_null(strstr(complaint.text, "/nowhere/vault.json"));
	assert_false(vault_file_load("/tmp", &file, &complaint));
	assert_false(vault_file_load("/dev/zero", &file, &complaint));
	memset(huge, ' ', sizeof(huge) - 1);
	assert_false(loads(huge, &complaint));
}

static int prepare(void **state)
{
	(void)state;
	place_make(&place);
	return 0;
}

static int remove_all(void **state)
{
	(void)state;
	place_remove(&place);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_files_are_read),
		cmocka_unit_test(bad_files_are_refused_at_their_place),
		cmocka_unit_test(files_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, prepare, remove_all);
}
