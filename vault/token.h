#ifndef VAULT_TOKEN_H
#define VAULT_TOKEN_H
/* One PKCS#11 token, seen as an unreliable outside thing. The only way to it is through these calls; the
 * types and codes of PKCS#11 stay behind token_inside.h. */
#include "store/envelopes.h"

/* A loaded module, the slot of our token, and the anchor session that keeps the login. One in a process. */
struct token;

/* Loads and initialises the module (after any fork, never before). NULL with the complaint. */
struct token *token_load(const char *module, struct complaint *);
/* Logs out, ends the module. No session may be open. */
void token_close(struct token *);

enum token_search { TOKEN_THERE, TOKEN_BLANK, TOKEN_NOT_THERE };

/* Looks for the one token of that label, and of that serial number unless that is "". TOKEN_BLANK: there is
 * none, but one that nobody has initialised, or one of ours whose initialisation was cut short;
 * token_initialise takes that. TOKEN_NOT_THERE with the complaint. */
enum token_search token_find(struct token *, const char *label, const char *serial, struct complaint *);
const char *token_serial(const struct token *);

/* Gives the blank token its label, this SO PIN and this user PIN; then it must be found again. */
MUST_USE bool token_initialise(
	struct token *, const char *label, struct bytes so_pin, struct bytes pin, struct complaint *);

enum token_login { LOGIN_OK, LOGIN_PIN_REFUSED, LOGIN_FAILED };

/* Opens the anchor session, unless it is open, and tries this PIN once. */
enum token_login token_login(struct token *, struct bytes pin, struct complaint *);

/* A session for one thread. */
struct token_session;
struct token_session *token_session_open(struct token *, struct complaint *);
void token_session_close(struct token_session *);
/* Closes and opens the session; the key must be chosen again. False: the token is not there any more, or not
 * logged in. */
MUST_USE bool token_session_renew(struct token_session *);

/* Chooses the key that wrap and unwrap use. False: no such key, not exactly one, or not of the kind that
 * token_key_generate makes (a key that could ever be read outside its token is refused). */
MUST_USE bool token_key_choose(struct token_session *, const char *key_id, struct complaint *);
/* Is there a key that an earlier, interrupted set-up made under this label? Chooses it and tells its id. */
bool token_key_of_label(struct token_session *, const char *label, char key_id[KEY_ID_SIZE]);
/* Generates and chooses an AES-256 key for encryption and decryption: sensitive, never extractable. */
MUST_USE bool token_key_generate(
	struct token_session *, const char *label, char key_id[KEY_ID_SIZE], struct complaint *);

/* ---- the key pair that signs checkpoints: ECDSA on P-256, generated in the token, never extractable */

enum { TOKEN_PUBLIC_BYTES = 91, TOKEN_SIGNATURE_BYTES = 64 };

/* Chooses the private key of that id and label; as token_key_choose. */
MUST_USE bool token_signer_choose(
	struct token_session *, const char *key_id, const char *label, struct complaint *);
/* As token_key_of_label and token_key_generate. */
bool token_signer_of_label(struct token_session *, const char *label, char key_id[KEY_ID_SIZE]);
MUST_USE bool token_signer_generate(
	struct token_session *, const char *label, char key_id[KEY_ID_SIZE], struct complaint *);
/* The chosen one's public key: SubjectPublicKeyInfo, DER. */
MUST_USE bool token_signer_public(
	struct token_session *, unsigned char spki[TOKEN_PUBLIC_BYTES], struct complaint *);
/* Signs a SHA-256 with the chosen key: r and s, 32 bytes each. */
MUST_USE bool token_sign(struct token_session *, const unsigned char digest[32],
	unsigned char signature[TOKEN_SIGNATURE_BYTES], struct complaint *);

#endif
