/* The unavoidable parts of a release, alone (DESIGN.md section 10).
 *
 *   parts hello [CERTIFICATE KEY]    HTTP alone, until the end of standard input
 *   parts compute BODY PAGE          strict JSON of a release's body, the signature of its CSR, and one
 *                                    instance of EC2's answer PAGE
 *   parts commits                    the store's commits beside those of the engine alone
 *   parts nodes N                    commits of several nodes on one PostgreSQL
 *   parts seal FILE                  unwrapping in the token, sealing
 *   parts round-trip                 to another process and back
 *
 * Linked without the free(3) of verifier/freed.c: what is bare is bare. */
#include "bench/parts.h"
#include "aws/ec2.h"
#include "verifier/json.h"
#include "verifier/recipient.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 400, PAGES = 20, FILE_MAX = 8 * 1024 * 1024 };

static double seconds_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double cpu_now(void)
{
	return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

double wall_now(void)
{
	return seconds_of(CLOCK_MONOTONIC);
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double median(double values[], int n)
{
	qsort(values, (size_t)n, sizeof *values, compare);
	return values[n / 2];
}

bool parts_failed(const char *what)
{
	fprintf(stderr, "parts: %s\n", what);
	return false;
}

bool print_json(json_t *json)
{
	bool printed = json && !json_dumpf(json, stdout, JSON_REAL_PRECISION(6)) && putchar('\n') == '\n' &&
		       !fflush(stdout);

	json_decref(json);
	return printed;
}

static struct bytes file_read(const char *path)
{
	char *data = malloc(FILE_MAX);
	FILE *file = fopen(path, "re");
	size_t length = data && file ? fread(data, 1, FILE_MAX, file) : 0;

	if (file)
		fclose(file);
	return (struct bytes){ (unsigned char *)data, length };
}

/* ---- each part once */

static bool json_once(struct bytes body)
{
	json_t *json = json_strict(body, NULL, NULL, NULL, 0);

	json_decref(json);
	return json != NULL;
}

/* The whole of it as the server does: PEM, DER, the key's form, its signature, the key encoded anew. */
static bool recipient_once(struct bytes csr)
{
	struct recipient recipient;
	struct reason reason;

	return recipient_parse((const char *)csr.data, csr.length, &recipient, &reason) == OK;
}

/* A request that has been read, with its key at hand. */
static struct {
	X509_REQ *csr;
	EVP_PKEY *key;
	unsigned char *text;
	int length;
	const ASN1_BIT_STRING *signature;
} signed_by;

static bool signature_begin(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	const X509_ALGOR *algorithm;

	signed_by.csr = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (!signed_by.csr)
		return false;
	signed_by.key = X509_REQ_get0_pubkey(signed_by.csr);
	signed_by.length = i2d_re_X509_REQ_tbs(signed_by.csr, &signed_by.text);
	X509_REQ_get0_signature(signed_by.csr, &signed_by.signature, &algorithm);
	return signed_by.key && signed_by.length > 0;
}

static void signature_end(void)
{
	X509_REQ_free(signed_by.csr);
	OPENSSL_free(signed_by.text);
}

static bool signature_once(struct bytes unused)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, signed_by.key) == 1 &&
		    EVP_DigestVerify(context, signed_by.signature->data, (size_t)signed_by.signature->length,
			    signed_by.text, (size_t)signed_by.length) == 1;

	(void)unused;
	EVP_MD_CTX_free(context);
	return good;
}

static unsigned page_instances;

static bool xml_once(struct bytes page)
{
	struct ec2_answer answer = { 0 };
	char why[XML_WHY_SIZE];
	bool good = ec2_answer_add(&answer, page, EC2_NAMESPACE, why);

	page_instances = answer.n_instances;
	ec2_answer_clear(&answer);
	return good;
}

/* Microseconds of one, -1 where it fails. */
static double measure(bool (*once)(struct bytes), struct bytes input, int repeats)
{
	double rounds[ROUNDS];
	bool good = once(input);

	for (int round = 0; good && round < ROUNDS; round++) {
		double began = cpu_now();

		for (int i = 0; good && i < repeats; i++)
			good = once(input);
		rounds[round] = (cpu_now() - began) / repeats * 1e6;
	}
	return good ? median(rounds, ROUNDS) : -1;
}

static bool compute_measure(const char *body_path, const char *page_path)
{
	struct bytes body = file_read(body_path), page = file_read(page_path), csr;
	json_t *json = json_strict(body, NULL, NULL, NULL, 0);
	const char *pem = json ? json_text(json, "csr") : NULL;
	double parse, recipient, signature, xml;

	if (!pem || !page.length)
		return parts_failed("no body with a CSR, or no page");
	csr = (struct bytes){ (const unsigned char *)pem, strlen(pem) };
	parse = measure(json_once, body, REPEATS);
	recipient = measure(recipient_once, csr, REPEATS);
	signature = signature_begin(pem) ? measure(signature_once, csr, REPEATS) : -1;
	signature_end();
	xml = measure(xml_once, page, PAGES);
	json_decref(json);
	free((void *)body.data);
	free((void *)page.data);
	if (parse < 0 || recipient < 0 || signature < 0 || xml < 0 || !page_instances)
		return parts_failed("the body, its CSR or the page is not good");
	return print_json(json_pack("{sf sf sf sf si}", "json", parse, "recipient", recipient, "signature",
		signature, "xml", xml / page_instances, "instances", (int)page_instances));
}

static bool part_run(int argc, char **argv)
{
	const char *part = argc > 1 ? argv[1] : "";

	if (!strcmp(part, "hello") && (argc == 2 || argc == 4))
		return hello_serve(argc == 4 ? argv[2] : NULL, argc == 4 ? argv[3] : NULL);
	if (!strcmp(part, "compute") && argc == 4)
		return compute_measure(argv[2], argv[3]);
	if (!strcmp(part, "commits") && argc == 2)
		return commits_measure();
	if (!strcmp(part, "nodes") && argc == 3)
		return nodes_measure((unsigned)atoi(argv[2]));
	if (!strcmp(part, "seal") && argc == 3)
		return seal_measure(argv[2]);
	if (!strcmp(part, "round-trip") && argc == 2)
		return round_trip_measure();
	return parts_failed(
		"hello [CERTIFICATE KEY] | compute BODY PAGE | commits | nodes N | seal FILE | round-trip");
}

int main(int argc, char **argv)
{
	return part_run(argc, argv) ? EXIT_SUCCESS : EXIT_FAILURE;
}
