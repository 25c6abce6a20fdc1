/* The compiled table of regions. */
#include "aws/call.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <string.h>

static void partitions(void **state)
{
	static const struct aws_region cases[] = {
		{ "us-east-1", "aws", "amazonaws.com", "iam.amazonaws.com", "us-east-1" },
		{ "eu-central-1", "aws", "amazonaws.com", "iam.amazonaws.com", "us-east-1" },
		{ "cn-northwest-1", "aws-cn", "amazonaws.com.cn", "iam.cn-north-1.amazonaws.com.cn",
			"cn-north-1" },
		{ "us-gov-east-1", "aws-us-gov", "amazonaws.com", "iam.us-gov.amazonaws.com",
			"us-gov-west-1" },
		{ "eusc-de-east-1", "aws-eusc", "amazonaws.eu", "iam.eusc-de-east-1.amazonaws.eu",
			"eusc-de-east-1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct aws_region *region = aws_region_find(cases[i].name);

		assert_non_null(region);
		assert_string_equal(region->name, cases[i].name);
		assert_string_equal(region->partition, cases[i].partition);
		assert_string_equal(region->dns_suffix, cases[i].dns_suffix);
		assert_string_equal(region->iam_host, cases[i].iam_host);
		assert_string_equal(region->iam_region, cases[i].iam_region);
	}
}

static void attack_2_strangers(void **state)
{
	static const char *const names[] = { "", "us-east-1 ", "US-EAST-1", "us-east-1a", "us-east",
		"us-east-11", "attacker.example?", "x#", "u@host", "us-east-1/",
		"us\xe2\x80\x90"
		"east-1",
		"aws-global", "*" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_null(aws_region_find(names[i]));
}

/* Every region that has a certificate for its identity documents. */
static void with_certificates(void **state)
{
	DIR *folder = opendir("../shared/vectors/aws-certificates");
	struct dirent *entry;
	unsigned n = 0;

	(void)state;
	if (!folder)
		skip();
	while ((entry = readdir(folder))) {
		char name[64];
		char *end;

		snprintf(name, sizeof(name), "%.63s", entry->d_name);
		end = strstr(name, ".pem");
		if (!end)
			continue;
		*end = '\0';
		assert_non_null(aws_region_find(name));
		assert_true(region_valid(name));
		n++;
	}
	closedir(folder);
	assert_int_equal(n, 39);
}

static void hosts(void **state)
{
	struct service service;

	(void)state;
	assert_true(service_ec2(&service, aws_region_find("us-west-2"), ""));
	assert_string_equal(service.url, "https://ec2.us-west-2.amazonaws.com/");
	assert_string_equal(service.region, "us-west-2");
	assert_true(service_ec2(&service, aws_region_find("cn-north-1"), ""));
	assert_string_equal(service.url, "https://ec2.cn-north-1.amazonaws.com.cn/");
	assert_true(service_iam(&service, aws_region_find("us-west-2"), ""));
	assert_string_equal(service.url, "https://iam.amazonaws.com/");
	assert_string_equal(service.region, "us-east-1");
	assert_string_equal(service.name, "iam");
	assert_true(service_iam(&service, aws_region_find("us-west-2"), "http://127.0.0.1:5000"));
	assert_string_equal(service.url, "http://127.0.0.1:5000/");
	assert_true(service_ec2(&service, aws_region_find("us-west-2"), "https://localhost/"));
	assert_string_equal(service.url, "https://localhost/");
	/* the region's own, since the caller has signed its name */
	assert_true(service_sts(&service, aws_region_find("us-west-2"), ""));
	assert_string_equal(service.url, "https://sts.us-west-2.amazonaws.com/");
	assert_true(service_sts(&service, aws_region_find("eusc-de-east-1"), ""));
	assert_string_equal(service.url, "https://sts.eusc-de-east-1.amazonaws.eu/");
	assert_true(service_sts(&service, aws_region_find("us-west-2"), "http://127.0.0.1:5000"));
	assert_string_equal(service.url, "http://127.0.0.1:5000/");
}

static void endpoints_refused(void **state)
{
	static const char *const endpoints[] = { "127.0.0.1", "ftp://x", "http://", "http:///", "http://x/y",
		"http://x?y", "http://u@x", "http://x//", "http://x\r\n", "http://x #", "HTTP://x" };
	struct service service;

	(void)state;
	for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
		assert_false(service_ec2(&service, aws_region_find("us-west-2"), endpoints[i]));
		assert_false(service_sts(&service, aws_region_find("us-west-2"), endpoints[i]));
	}
}

static void forms(void **state)
{
	struct form form = { 0 };
	char long_value[2000];

	(void)state;
	form_add(&form, "A", "a b&c=d/%\xc3\xa9\n+~-._");
	form_add(&form, "B", "");
	assert_string_equal(form.text, "A=a%20b%26c%3Dd%2F%25%C3%A9%0A%2B~-._&B=");
	memset(long_value, '%', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	form_add(&form, "C", long_value);
	assert_int_equal(form.length, strlen("A=a%20b%26c%3Dd%2F%25%C3%A9%0A%2B~-._&B=&C=") + 3 * 1999);
	assert_false(form.failed);
	form_clear(&form);
	assert_null(form.text);
}

static void pauses(void **state)
{
	(void)state;
	for (unsigned failures = 1; failures < 100; failures++) {
		long long most = 100000000LL << (failures > 5 ? 5 : failures - 1);
		long long pause = call_pause(failures);

		assert_true(pause >= most / 2 && pause <= most);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partitions),
		cmocka_unit_test(attack_2_strangers),
		cmocka_unit_test(with_certificates),
		cmocka_unit_test(hosts),
		cmocka_unit_test(endpoints_refused),
		cmocka_unit_test(forms),
		cmocka_unit_test(pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
