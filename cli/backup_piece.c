/* Heads of pieces, and their order. Whoever has an operator's certificate can seal a piece: only who has the
 * pieces before it in clear can make one that fits behind them. */
#include "cli/backup_piece.h"

#include <openssl/evp.h>
#include <string.h>

/* The magic names the form: another one begins otherwise. */
static const unsigned char magic[16] = "vouchsafe piece";

static unsigned char *number_write(unsigned char *at, unsigned long long number, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (unsigned char)(number >> (8 * (bytes - 1 - i)));
	return at + bytes;
}

static unsigned long long number_read(const unsigned char **at, unsigned bytes)
{
	unsigned long long number = 0;

	for (unsigned i = 0; i < bytes; i++)
		number = number << 8 | *(*at)++;
	return number;
}

void piece_head_write(const struct piece_head *head, unsigned char *piece)
{
	unsigned char *at = piece;

	_Static_assert(
		PIECE_HEAD == 16 + 36 + 8 + 8 + 8 + 1 + 1 + 32, "what is written is as long as it says");
	memcpy(at, magic, sizeof(magic));
	at += sizeof(magic);
	memcpy(at, head->id, UUID_SIZE - 1);
	at = number_write(at + UUID_SIZE - 1, (unsigned long long)head->made_us, 8);
	at = number_write(at, head->schema, 8);
	at = number_write(at, head->number, 8);
	*at++ = head->last;
	*at++ = 0; /* room */
	memcpy(at, head->previous, sizeof(head->previous));
}

bool piece_head_read(struct bytes piece, struct piece_head *head)
{
	const unsigned char *at = piece.data + sizeof(magic);
	unsigned long long made, schema;
	unsigned last;

	*head = (struct piece_head){ 0 };
	if (piece.length < PIECE_HEAD || piece.length > PIECE_MAX ||
		memcmp(piece.data, magic, sizeof(magic)) != 0)
		return false;
	memcpy(head->id, at, UUID_SIZE - 1);
	at += UUID_SIZE - 1;
	made = number_read(&at, 8);
	schema = number_read(&at, 8);
	head->number = number_read(&at, 8);
	last = (unsigned)number_read(&at, 2);
	memcpy(head->previous, at, sizeof(head->previous));
	if (!uuid_valid(head->id) || made >= 253402300800000000ULL || schema < 1 || schema > 100000 ||
		(last != 0 && last != 0x100))
		return false;
	head->made_us = (long long)made;
	head->schema = (unsigned)schema;
	head->last = last != 0;
	return true;
}

static bool head_fits(
	const struct piece_sequence *sequence, const struct piece_head *head, struct complaint *complaint)
{
	const struct piece_head *next = &sequence->next;

	if (sequence->ended)
		return complain(complaint, "there is a piece behind the last one");
	if (sequence->begun && strcmp(head->id, next->id) != 0)
		return complain(complaint, "piece %llu is of another backup, %s", next->number, head->id);
	if (head->number != next->number)
		return complain(
			complaint, "piece %llu is missing: %llu is in its place", next->number, head->number);
	if (sequence->begun && (head->schema != next->schema || head->made_us != next->made_us))
		return complain(complaint, "piece %llu says otherwise than those before it", head->number);
	return memcmp(head->previous, next->previous, sizeof(head->previous)) == 0 ||
	       complain(complaint, "piece %llu does not follow the one before it", head->number);
}

bool piece_take(struct piece_sequence *sequence, struct bytes piece, struct piece_head *head,
	struct bytes *rows, struct complaint *complaint)
{
	if (!piece_head_read(piece, head))
		return complain(complaint, "piece %llu is none of a backup that this version knows",
			sequence->next.number);
	if (!head_fits(sequence, head, complaint))
		return false;
	sequence->begun = true;
	sequence->ended = head->last;
	sequence->next = *head;
	sequence->next.number++;
	*rows = (struct bytes){ piece.data + PIECE_HEAD, piece.length - PIECE_HEAD };
	return EVP_Digest(piece.data, piece.length, sequence->next.previous, NULL, EVP_sha256(), NULL) == 1 ||
	       complain(complaint, "out of memory");
}
