/* Memory that ran out is told from a bad request, for each thread, and forgotten with the next one. */
#include "tests/unit/unit.h"
#include "verifier/json.h"
#include "verifier/memory.h"
#include "verifier/recipient.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

static void *look(void *was_out)
{
	*(bool *)was_out = memory_was_out();
	return NULL;
}

static void test_noted_on_this_thread_alone(void **state)
{
	pthread_t thread;
	bool other = true;
	int block;

	(void)state;
	memory_begin();
	assert_ptr_equal(memory_noted(&block), &block);
	assert_false(memory_was_out());
	assert_null(memory_noted(NULL));
	assert_true(memory_was_out());
	assert_ptr_equal(memory_noted(&block), &block);
	assert_true(memory_was_out());
	assert_int_equal(pthread_create(&thread, NULL, look, &other), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(other);
	memory_begin();
	assert_false(memory_was_out());
}

static void test_a_bad_text_is_no_lack_of_memory(void **state)
{
	static const char csr[] = "no request";
	struct recipient recipient;
	struct reason reason;
	json_t *value;

	(void)state;
	memory_noted(NULL);
	assert_null(json_strict((struct bytes){ (const unsigned char *)"{", 1 }, NULL, NULL, NULL, 0));
	assert_false(memory_was_out());
	memory_noted(NULL);
	value = json_strict((struct bytes){ (const unsigned char *)"{}", 2 }, NULL, NULL, NULL, 0);
	assert_non_null(value);
	json_decref(value);
	memory_noted(NULL);
	assert_int_equal(recipient_parse(csr, strlen(csr), &recipient, &reason), REFUSED);
}

/* Under their allocators the libraries work as under their own. */
static void test_watched(void **state)
{
	unsigned char *block = OPENSSL_malloc(16);

	(void)state;
	assert_true(recipient_ready());
	assert_non_null(block);
	memset(block, 7, 16);
	block = OPENSSL_realloc(block, 4096);
	assert_non_null(block);
	assert_int_equal(block[15], 7);
	assert_null(OPENSSL_realloc(block, 0));
	assert_null(OPENSSL_malloc(0));
	assert_false(memory_was_out());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noted_on_this_thread_alone),
		cmocka_unit_test(test_a_bad_text_is_no_lack_of_memory),
		cmocka_unit_test(test_watched),
	};

	if (!memory_watch(MEMORY_JSON_PLAIN))
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
