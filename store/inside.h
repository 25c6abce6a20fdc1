#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H
/* What the files of store/ share and nobody else includes: the handle, its transactions, the trail's head. */
#include "store/engines.h"
#include "store/event.h"
#include "store/sql.h"
#include "store/store.h"

/* The trail's last event; seq 0 and zeros before the first. */
struct head {
	long long seq;
	unsigned char hash[32];
	bool taken; /* in this transaction: otherwise nobody has asked yet */
	bool moved; /* by this transaction */
};

struct shelf;

enum { WORDS_MAX = 256, WORD_SIZE = 72 };

/* Ids of interned words, as far as they are committed or belong to the transaction that is under way. */
struct words {
	struct {
		long long id; /* 0: free */
		char text[WORD_SIZE];
	} slots[WORDS_MAX];
};

struct store {
	struct store_settings settings; /* uri and node are the handle's own copies */
	char *path; /* SQLite's file; NULL: PostgreSQL, by the next */
	struct postgres postgres;
	int lock; /* of STORE_SERVE on SQLite; -1: none */
	struct sql *sql; /* NULL: to be opened again */
	struct head seen; /* the newest event that this handle knows to be committed */
	struct query *asked_head, *asked_seen; /* by trail_ask, until trail_head */
	/* the newest restore, as the transaction under way has read it: its event and when; 0: never */
	long long restored_seq, restored_us;
	bool undone; /* the last transaction failed by what was asked in it, and not by its COMMIT or a lost
			connection */
	struct words words;
	struct shelf *shelf; /* record.c's, kept from batch to batch */
	struct event_buffer text;
};

/* UNAVAILABLE with what the engine said. */
enum outcome store_failed(struct store *, struct reason *);

/* Runs `body` in one transaction: committed if it answers OK, rolled back otherwise. With SQL_WRITE the body
 * runs under the write lock; a body that needs the trail's head, or appends to it, takes it by trail_head.
 * Where the connection is lost, or COMMIT's answer, it is found out whether all of it is there; if not, the
 * body is run again from its beginning, as if it had never run. */
typedef enum outcome transaction(struct store *, struct head *, void *context, struct reason *);
MUST_USE enum outcome store_transaction(
	struct store *, enum sql_use, transaction *body, void *context, struct reason *);

/* A column that counts something: 1 up to INT_MAX, and 0 for whatever else stands there. */
unsigned column_count(struct query *, int column);

/* For the events of commands alone: requests bring their time. */
long long store_clock_us(void);

/* ---- trail.c: appending; within a writing transaction */

/* Asks for the trail's newest event, and whether the one that was seen last stands; nothing waits yet. */
void trail_ask(struct store *);
/* Takes the answers, the first time it is called in a transaction. False: unreadable, or less than this
 * handle has seen committed: another copy was put in the database's place. */
MUST_USE bool trail_head(struct store *, struct head *);
/* Fills in seq, node and previous; writes, hashes and inserts the event, with its row in `find`; moves the
 * head. */
MUST_USE bool trail_append(struct store *, struct head *, struct event *);
/* Has no event of that name been written for this role, account and region within the hour before now_us? */
MUST_USE bool trail_alarm_due(
	struct store *, const char *event, const struct assertion *, long long now_us, bool *due);
/* The id of a word, 0 where it is not there; `add`: it is put there. */
MUST_USE bool word_id(struct store *, const char *text, bool add, long long *id);

#endif
