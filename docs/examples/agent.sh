#!/bin/sh
# shellcheck disable=SC2015 # in "a && b || c" here c is what follows when either failed, and most often the end
#
# The whole of vouchsafe-agent in a POSIX shell, for images that can carry no program of ours: besides the shell and
# its standard tools (awk, od, cmp, find, ...) it needs curl and openssl 3. Same options, same exit codes, same key
# file as the C agent, so that one can go on where the other was stopped. docs/http.md is what it follows.
#
# What it must never do: put a secret on a command line or into the environment (all go through files in folders of
# mode 0700, removed at the end; the state folder belongs on a tmpfs, as /run is), use a byte of an answer as anything
# but data, or write a file before every check on the whole release has passed. Where it differs from the C agent:
# what it holds is in files instead of locked memory, it waits in whole seconds, and two of them at a time do not lock
# each other out: they share one key, so that they collect one and the same release. And of the evidence it sends the
# signed identity document alone: for caller-identity it would have to sign with the role's credentials, which the
# openssl command takes from its command line, where everybody on the instance can read them. So a rule that demands
# caller-identity denies it, and nothing ties its key to the instance.
set -uf
umask 077
LC_ALL=C
export LC_ALL
unset CDPATH SSLKEYLOGFILE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
# shellcheck disable=SC3045 # where a shell has no such limit the system's stays
ulimit -c 0 2>/dev/null

usage='vouchsafe agent.sh: proves what this instance is, and writes the secrets that it may have.

  agent.sh --server URL --role NAME --out DIR [options]

  --server   URL      the vouchsafe server: https, or plain http to loopback only
  --role     NAME     the IAM role of this instance'\''s profile
  --out      DIR      where the secrets go, a file for each, mode 0400
  --ca       FILE     PEM of the roots to trust for the server (default: the system'\''s)
  --state    DIR      keeps the key until acknowledged (default: /run/vouchsafe)
  --source   ADDRESS  call from this local address
  --deadline TIME     give up after this long (default: 5m)
  --help

AWS_EC2_METADATA_SERVICE_ENDPOINT moves the instance metadata service (http://169.254.169.254).

Exit status: 0 done, 69 no metadata service, 70 a bug, 75 gave up for now (run again), 76 no true server answers so,
77 denied, 78 configuration.'

no_metadata=69 fault=70 gave_up=75 protocol=76 denied=77 configuration=78

say() { printf 'vouchsafe-agent: %s\n' "$1" >&2; }
end() { # exit code, text
	say "$2"
	exit "$1"
}

# ---- what a value may be

# Is it made of these characters alone, and at least one of them?
made_of() { # value, inside of a bracket expression
	# shellcheck disable=SC2254 # a set of characters
	case $1 in '' | *[!$2]*) return 1 ;; esac
}

hex_id() { # value, prefix
	made_of "${1#"$2"}" 0-9a-f || return 1
	case $1 in "$2"????????) ;; "$2"?????????????????) ;; *) return 1 ;; esac
}

name_valid() { # a secret's name, which becomes a file's
	made_of "$1" a-z0-9- && [ "${1#-}" = "$1" ] && [ ${#1} -le 63 ]
}

uuid_valid() {
	case $1 in ????????-????-????-????-????????????) made_of "$1" 0-9a-f- ;; *) return 1 ;; esac
}

host_name_valid() {
	made_of "$1" a-z0-9.- || return 1
	case $1 in [.-]* | *[.-] | *..*) return 1 ;; esac
	[ ${#1} -le 253 ]
}

address_valid() { # IPv4, in its canonical spelling
	case $1 in '' | *[!0-9.]* | .* | *. | *..*) return 1 ;; esac
	IFS=.
	# shellcheck disable=SC2086 # the four parts
	set -- $1
	unset IFS
	[ $# -eq 4 ] || return 1
	for part; do
		case $part in [0-9] | [1-9][0-9] | 1[0-9][0-9] | 2[0-4][0-9] | 25[0-5]) ;; *) return 1 ;; esac
	done
}

port_valid() {
	made_of "$1" 0-9 && [ ${#1} -le 5 ] && [ "$1" -gt 0 ] && [ "$1" -lt 65536 ]
}

# scheme://HOST[:PORT][/] and nothing more. Sets url (without the "/"), scheme and host.
url_take() {
	url=${1%/}
	scheme=${url%%://*}
	case $scheme in http | https) ;; *) return 1 ;; esac
	host=${url#"$scheme"://}
	case $host in
	\[*\]) made_of "${host#\[}" ']0-9a-fA-F:.' ;;
	\[*\]:*) port_valid "${host##*\]:}" && host=${host%:*} && made_of "${host#\[}" ']0-9a-fA-F:.' ;;
	*:*) port_valid "${host#*:}" && host=${host%%:*} && made_of "$host" A-Za-z0-9.- ;;
	*) made_of "$host" A-Za-z0-9.- ;;
	esac
}

loopback() {
	case $1 in localhost | '[::1]') return 0 ;; 127.*) address_valid "$1" ;; *) return 1 ;; esac
}

# ---- the command line

option_take() { # name, value
	case " $given " in *" $1 "*) end $configuration "$1 is given twice; give it once" ;; esac
	given="$given $1"
	case $1 in
	--server) server=$2 ;;
	--role) role=$2 ;;
	--out) out=$2 ;;
	--ca) ca=$2 ;;
	--state) state=$2 ;;
	--source) source=$2 ;;
	--deadline) patience=$2 ;;
	*) end $configuration "an argument is no option of this program; see --help" ;;
	esac
}

arguments_take() {
	given='' server='' role='' out='' ca='' state=/run/vouchsafe source='' patience=5m
	if [ "$#" = 1 ] && [ "$1" = --help ]; then
		printf '%s\n' "$usage"
		exit 0
	fi
	while [ $# -gt 0 ]; do
		case $1 in
		--*=*)
			option_take "${1%%=*}" "${1#*=}"
			shift
			;;
		*)
			[ $# -gt 1 ] || end $configuration "the last option's value is missing; see --help"
			option_take "$1" "$2"
			shift 2
			;;
		esac
	done
}

server_check() {
	url_take "$server" || end $configuration "--server: not a base URL; write https://HOST or https://HOST:PORT"
	server=$url
	[ "$scheme" = https ] || loopback "$host" ||
		end $configuration "--server: plain http only to a loopback address; write https://$host"
}

# Sets seconds.
patience_check() {
	digits=${patience%%[!0-9]*}
	number=${digits#"${digits%%[!0]*}"} # else it would be octal
	[ ${#number} -le 8 ] || number=0
	case ${patience#"$digits"} in
	ms) seconds=$((${number:-0} / 1000)) ;;
	s) seconds=${number:-0} ;;
	m) seconds=$((${number:-0} * 60)) ;;
	h) seconds=$((${number:-0} * 3600)) ;;
	*) seconds=0 ;;
	esac
	[ "$seconds" -ge 1 ] && [ "$seconds" -le 86400 ] ||
		end $configuration "--deadline: not between 1s and 24h; write a number and ms, s, m or h, as 5m"
}

arguments_check() {
	[ -n "$server" ] && [ -n "$role" ] && [ -n "$out" ] ||
		end $configuration "--server, --role and --out are needed; see --help"
	server_check
	made_of "$role" A-Za-z0-9+=,.@_- && [ ${#role} -le 64 ] ||
		end $configuration "--role: not a role's name; write the name alone, not the ARN"
	[ -z "$source" ] || address_valid "$source" || end $configuration "--source: not an IPv4 address"
	[ -z "$ca" ] || [ -r "$ca" ] || end $configuration "--ca: $ca cannot be read"
	[ -n "$state" ] || end $configuration "--state: not a path"
	patience_check
	url_take "${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}" ||
		end $configuration "AWS_EC2_METADATA_SERVICE_ENDPOINT: not a base URL"
	metadata=$url
}

tools_check() {
	for tool in curl openssl awk od cmp find; do
		command -v $tool >/dev/null || end $configuration "$tool is missing"
	done
	case $(openssl version) in "OpenSSL "[12].* | "") end $configuration "openssl 3 is needed" ;; esac
	# a value of a secret is written so, byte by byte
	case $(awk 'BEGIN { printf "%c%c", 233, 128 }' | od -An -tu1 | tr -s ' ') in
	' 233 128' | ' 233 128 ') ;;
	*) end $configuration "this awk cannot write single bytes" ;;
	esac
}

# ---- folders

folder_open() { # made where it is absent; ours alone to write in
	case $1 in /*) ;; *) set -- "./$1" ;; esac
	[ -d "$1" ] || mkdir -m 0700 "$1" || end $configuration "$1: cannot make the folder"
	[ -z "$(find "$1/." -prune \( -perm -020 -o -perm -002 -o ! -user "$(id -u)" \))" ] ||
		end $configuration "$1: is not this user's own, or others than its owner may write in it"
	opened=$1
}

# Written to the disk before it returns; other systems' sync takes no names.
flush() { sync "$@" 2>/dev/null || sync; }

leave() {
	[ -z "$work" ] || rm -rf "$work"
	[ -z "$fresh" ] || rm -rf "$fresh"
	[ -z "$owed" ] || say "the files are written, but the server does not know it; the key stays"
}

# The working folder. What killed runs have left goes first.
work_open() {
	set +f
	for left in "$state"/agent-work.* "$out"/.vouchsafe.*; do
		pid=${left##*.}
		made_of "$pid" 0-9 || continue
		[ "$pid" != $$ ] && kill -0 "$pid" 2>/dev/null || rm -rf "$left"
	done
	set -f
	work='' fresh='' owed=''
	trap leave EXIT
	trap 'exit 75' HUP INT TERM
	mkdir -m 0700 "$state/agent-work.$$" || end $configuration "$state: cannot make a folder in it"
	work=$state/agent-work.$$
	mkdir "$work/no-roots" || end $gave_up "$state: cannot be written to"
}

# ---- JSON

# RFC 8259, strictly: UTF-8, no name twice, nothing behind it, no NUL in a string. Reads bytes as decimal numbers (od),
# so that no locale and no control character matters. Prints a line "path type" for each value ("secrets.0.name"),
# with the text of numbers and literals; each string goes to a file of its own in the current folder, whose name is a
# count that stands in the line. Nothing of the document ever names a file.
# shellcheck disable=SC2016 # awk's own $
json='
function next_byte() {
	while (at >= NF) {
		if ((getline) <= 0) { b = -1; c = ""; return }
		at = 0
	}
	b = $(++at) + 0
	c = b > 31 && b < 127 ? sprintf("%c", b) : ""
}
function blanks() { while (b == 32 || b == 9 || b == 10 || b == 13) next_byte() }
function put(n) {
	if (file) { printf "%c", n > file; return }
	if (length(text) > 63) exit 1
	text = text sprintf("%c", n)
}
function put_point(p) {
	if (p < 128) { put(p); return }
	if (p < 2048) put(192 + int(p / 64))
	else {
		if (p < 65536) put(224 + int(p / 4096))
		else { put(240 + int(p / 262144)); put(128 + int(p / 4096) % 64) }
		put(128 + int(p / 64) % 64)
	}
	put(128 + p % 64)
}
function unit(  i, digit, n) {
	for (i = 0; i < 4; i++) {
		next_byte()
		digit = c == "" ? 0 : index("0123456789abcdef", tolower(c))
		if (!digit) exit 1
		n = n * 16 + digit - 1
	}
	return n
}
function escaped(  p, low, i) {
	next_byte()
	if (c == "u") {
		p = unit()
		if (p == 0 || (p >= 56320 && p < 57344)) exit 1
		if (p >= 55296 && p < 56320) {
			next_byte(); if (c != "\\") exit 1
			next_byte(); if (c != "u") exit 1
			low = unit()
			if (low < 56320 || low > 57343) exit 1
			p = 65536 + (p - 55296) * 1024 + low - 56320
		}
		put_point(p)
		return
	}
	i = c == "" ? 0 : index("\"\\/bfnrt", c)
	if (!i) exit 1
	put(control[i])
}
function utf8(  left, least, most) {
	if (b < 194 || b > 244) exit 1
	left = b >= 240 ? 3 : b >= 224 ? 2 : 1
	least = b == 224 ? 160 : b == 240 ? 144 : 128
	most = b == 237 ? 159 : b == 244 ? 143 : 191
	for (put(b); left > 0; left--) {
		next_byte()
		if (b < least || b > most) exit 1
		put(b)
		least = 128
		most = 191
	}
}
function string() {
	for (next_byte(); c != "\""; next_byte()) {
		if (b < 32) exit 1
		if (c == "\\") escaped()
		else if (b < 128) put(b)
		else utf8()
	}
	next_byte()
}
function show(path, type) { print (path == "" ? "." : path), type }
function text_value(path) {
	file = ++files ""
	printf "" > file
	string()
	close(file)
	show(path, "string " file)
	file = ""
}
function word_value(path,  word) {
	while (c ~ /^[-+.0-9a-zA-Z]$/ && length(word) < 32) { word = word c; next_byte() }
	if (word ~ /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/) show(path, "number " word)
	else if (word == "true" || word == "false" || word == "null") show(path, "literal " word)
	else exit 1
}
function object(path, depth,  name) {
	show(path, "object")
	next_byte(); blanks()
	if (c == "}") { next_byte(); return }
	for (;;) {
		if (c != "\"") exit 1
		text = ""
		string()
		if (text !~ /^[A-Za-z0-9_-]+$/) exit 1
		name = (path == "" ? "" : path ".") text
		if (name in seen) exit 1
		seen[name] = 1
		blanks(); if (c != ":") exit 1
		next_byte(); blanks()
		value(name, depth + 1)
		blanks()
		if (c == "}") { next_byte(); return }
		if (c != ",") exit 1
		next_byte(); blanks()
	}
}
function array(path, depth,  i) {
	show(path, "array")
	next_byte(); blanks()
	if (c == "]") { next_byte(); return }
	for (i = 0;; i++) {
		value((path == "" ? "" : path ".") i, depth + 1)
		blanks()
		if (c == "]") { next_byte(); return }
		if (c != ",") exit 1
		next_byte(); blanks()
	}
}
function value(path, depth) {
	if (++values > 2000 || depth > 8) exit 1
	if (c == "{") object(path, depth)
	else if (c == "[") array(path, depth)
	else if (c == "\"") text_value(path)
	else word_value(path)
}
BEGIN {
	split("34 92 47 8 12 10 13 9", control, " ")
	next_byte(); blanks()
	value("", 0)
	blanks()
	if (b != -1) exit 1
}'

# False: the file is not one JSON value. Its values are in the folder, which is made anew.
json_read() { # file, folder
	rm -rf "$2"
	mkdir "$2" || end $gave_up "$state: cannot be written to"
	od -An -v -tu1 "$1" | (cd "$2" && awk "$json" >members)
}

# Sets member to what stands behind path and type.
member() { # folder, path, type
	while read -r path type member; do
		[ "$path" = "$2" ] && [ "$type" = "$3" ] && return
	done <"$1/members"
	return 1
}

# Sets word to a string of this path, made of these characters alone.
word() { # folder, path, inside of a bracket expression
	word=
	member "$1" "$2" string || return 1
	# read succeeds only at a line's end, and there is no line in a word
	IFS= read -r word <"$1/$member" && return 1
	made_of "$word" "$3"
}

# One spelling for each value: what decodes must encode to the same again.
base64_decode() { # from, to
	openssl base64 -d -A -in "$1" -out "$2" 2>/dev/null && openssl base64 -A -in "$2" | cmp -s - "$1"
}

# ---- HTTP

# Whole seconds of a clock that nobody sets; where there is none, of the one there is.
clock() {
	if read -r now _ 2>/dev/null </proc/uptime; then
		now=${now%%.*}
	else
		now=$(date +%s)
	fi
}

# One request. Sets status, "000" where there is no whole answer, and then problem; the body is in $work/answer.
http() { # seconds, URL, further arguments for curl
	[ -z "$source" ] || set -- "$@" --interface "$source"
	most=$1 url=$2
	shift 2
	: >"$work/answer"
	: >"$work/headers"
	# a file of more than 4 MiB (some shells: 8) is cut, and curl with it
	status=$(
		ulimit -f 8192
		exec curl -q -g -sS --noproxy '*' --proto '=http,https' --max-redirs 0 --max-time "$most" -o "$work/answer" \
			-D "$work/headers" -w '%{http_code}' "$@" "$url" 2>"$work/complaint"
	)
	case $? in
	0) return ;;
	63 | 153) end $protocol "the answer is larger than any vouchsafe server's" ;;
	esac
	status=000
	problem=$(tr -cd '\40-\176' <"$work/complaint")
}

# Waits before the next try, longer each time and never as long as the others of a fleet. False: not before the end.
wait_again() { # failed tries, at least so many seconds, when to end
	ceiling=1
	[ "$1" -lt 2 ] || ceiling=2
	[ "$1" -lt 3 ] || ceiling=4
	[ "$1" -lt 4 ] || ceiling=8
	[ "$1" -lt 5 ] || ceiling=16
	[ "$1" -lt 6 ] || ceiling=20
	pause=$(($2 + 0x$(openssl rand -hex 3) % (ceiling + 1)))
	clock
	[ "$pause" -lt $(($3 - now)) ] || return 1
	sleep "$pause"
}

# ---- the instance metadata service, version 2

# Sets value: the word that stands under this path.
metadata_get() { # path, inside of a bracket expression
	value=
	http 2 "$metadata/latest/$1" -H "@$work/token"
	[ "$status" = 200 ] || return 1
	IFS= read -r value <"$work/answer" && return 1
	made_of "$value" "$2"
}

token_fetch() {
	http 2 "$metadata/latest/api/token" -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300'
	[ "$status" = 200 ] || return 1
	IFS= read -r value <"$work/answer" && return 1
	made_of "$value" '!-~' || return 1
	cat >"$work/token" <<-END
		X-aws-ec2-metadata-token: $value
	END
}

values_read() {
	metadata_get meta-data/instance-id i0-9a-f- && hex_id "$value" i- || return 1
	instance_id=$value
	metadata_get meta-data/local-hostname a-z0-9.- && host_name_valid "$value" || return 1
	local_hostname=$value
	metadata_get meta-data/reservation-id r0-9a-f- && hex_id "$value" r- || return 1
	reservation_id=$value
	metadata_get meta-data/instance-type a-z0-9.- && [ ${#value} -le 63 ] || return 1
	instance_type=$value
	metadata_get meta-data/local-ipv4 0-9. && address_valid "$value" || return 1
	source_ip=$value
	public_hostname_read
}

# An instance without a public name has an empty page, or none.
public_hostname_read() {
	public_hostname=
	metadata_get meta-data/public-hostname a-z0-9.- && public_hostname=$value
	case $status in
	404) ;;
	200) [ -z "$value" ] || host_name_valid "$public_hostname" ;;
	*) return 1 ;;
	esac
}

# Account and region stand in the instance identity document alone. It must be about this instance.
document_read() {
	http 2 "$metadata/latest/dynamic/instance-identity/document" -H "@$work/token"
	[ "$status" = 200 ] && json_read "$work/answer" "$work/document" || return 1
	word "$work/document" instanceId i0-9a-f- && [ "$word" = "$instance_id" ] || return 1
	word "$work/document" accountId 0-9 && [ ${#word} -eq 12 ] || return 1
	account_id=$word
	word "$work/document" region a-z0-9- && [ ${#word} -le 31 ] || return 1
	region=$word
}

# The same as AWS has signed it; not every instance has one.
signed_document_read() {
	http 2 "$metadata/latest/dynamic/instance-identity/rsa2048" -H "@$work/token"
	evidence=
	case $status in
	404) ;;
	200)
		value=$(tr -d '\n\0' <"$work/answer")
		made_of "$value" A-Za-z0-9+/= && evidence=", \"evidence\": {\"identity-document\": \"$value\"}"
		;;
	*) return 1 ;;
	esac
}

metadata_read() {
	failed=0
	clock
	until=$((now + 10))
	[ "$until" -lt "$deadline" ] || until=$deadline
	until token_fetch && values_read && document_read && signed_document_read; do
		failed=$((failed + 1))
		case $status in
		000 | 401 | 429 | 5??) wait_again $failed 0 "$until" && continue ;;
		esac
		end $no_metadata "no usable instance metadata service at $metadata (its last status: $status)"
	done
	say "this is $instance_id ($instance_type, $account_id, $region)"
	[ -z "$source" ] || [ "$source" = "$source_ip" ] ||
		end $configuration "--source $source: this instance's primary address is $source_ip"
}

# The nine values, each behind its length as 4 bytes, big-endian (docs/http.md). None is longer than 255.
assertion_hash() {
	for value in "$instance_id" "$public_hostname" "$local_hostname" "$reservation_id" "$instance_type" "$role" \
		"$source_ip" "$account_id" "$region"; do
		# shellcheck disable=SC2059 # the length's byte, in octal
		printf "\\000\\000\\000\\$(printf %03o ${#value})"
		printf %s "$value"
	done | openssl dgst -sha256 -r
}

# ---- the key

# Ours, and readable to nobody else; a P-256 key of which both halves belong together.
key_check() {
	[ -n "$(find "$key" -prune -type f -user "$(id -u)" ! -perm -040 ! -perm -020 ! -perm -004 ! -perm -002)" ] &&
		openssl pkey -in "$key" -passin pass: -noout -text_pub 2>/dev/null | grep -q 'ASN1 OID: prime256v1' &&
		openssl pkey -in "$key" -passin pass: -noout -check >/dev/null 2>&1
}

# Made once: link fails where there is one already.
key_keep() {
	key=$state/agent-key.pem
	said=kept
	if ! [ -e "$key" ] && ! [ -h "$key" ]; then
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve \
			-out "$work/key" 2>/dev/null && chmod 0400 "$work/key" || end $gave_up "no key could be made"
		flush "$work/key"
		ln "$work/key" "$key" 2>/dev/null && said=new
		rm -f "$work/key"
		flush "$state"
		[ -e "$key" ] || end $gave_up "$state: the key could not be kept"
	fi
	key_check || end $configuration "$key: not a private key of EC P-256 of ours; remove it if this instance has had no \
release yet, else have it re-armed"
	recipient=$(openssl pkey -in "$key" -pubout -outform DER | openssl dgst -sha256 -r)
	say "$said key, recipient ${recipient%% *}"
}

# Whoever has its release acknowledged removes the key, also under another that is at work.
key_there() {
	[ -e "$key" ] || end $gave_up "$key: gone meanwhile; another agent was at work here"
}

# ---- the release

body_write() {
	cat >"$work/request.cnf" <<-END
		[req]
		prompt = no
		distinguished_name = nobody
		[nobody]
	END
	openssl req -new -sha256 -key "$key" -subj / -config "$work/request.cnf" -out "$work/csr" 2>/dev/null || {
		key_there
		end $fault "no certificate request could be made"
	}
	cat >"$work/body" <<-END
		{"assertion": {"instance-id": "$instance_id", "public-hostname": "$public_hostname",
		"local-hostname": "$local_hostname", "reservation-id": "$reservation_id", "instance-type": "$instance_type",
		"role": "$role", "source-ip": "$source_ip", "account-id": "$account_id", "region": "$region"},
		"csr": "$(awk '{ printf "%s\\n", $0 }' "$work/csr")"$evidence}
	END
}

# What an answer other than the expected one means: ends the program, or returns where it may be asked again.
answer_judge() { # what was asked for
	code='no code' request=unknown
	if json_read "$work/answer" "$work/problem" 2>/dev/null; then
		word "$work/problem" code A-Za-z0-9_.- && code=$word
		word "$work/problem" request_id A-Za-z0-9_.- && request=$word
	fi
	said="$1: status $status, $code, request $request"
	case $status in
	000) said="$1: no answer from the server ($problem)" ;;
	401) [ "$code" = challenge-expired ] || end $protocol "$said: no vouchsafe server of this version answers so" ;;
	403) end $denied "$said: the server denies this instance; the reason stands in its audit trail" ;;
	409) end $denied "$said: already released to another key: this agent's key was lost, or somebody else was first; \
see the audit trail, and \`vouchsafe ledger rearm\`" ;;
	408 | 429 | 5??) ;;
	*) end $protocol "$said: a bug, another version, or no vouchsafe server" ;;
	esac
}

retry_after() {
	awk 'tolower($1) == "retry-after:" { sub("\r$", ""); after = $2 }
		END { print after ~ /^[0-9]+$/ && length(after) < 7 ? after + 0 : 0 }' "$work/headers"
}

# Until it is answered for good, or the deadline is there.
ask() { # what, path, file of the body, expected status
	failed=0
	while :; do
		clock
		left=$((deadline - now))
		[ $left -le 30 ] || left=30
		[ $left -ge 1 ] || left=1
		if [ -n "$ca" ]; then
			# --cacert alone leaves the system's folder of roots trusted
			http $left "$server$2" --data-binary "@$3" -H 'Content-Type: application/json' \
				--cacert "$ca" --capath "$work/no-roots"
		else
			http $left "$server$2" --data-binary "@$3" -H 'Content-Type: application/json'
		fi
		[ "$status" != "$4" ] || return 0
		answer_judge "$1"
		failed=$((failed + 1))
		wait_again $failed "$(retry_after)" "$deadline" || end $gave_up "$said"
		say "$said; asked again after $pause s"
	done
}

release_obtain() {
	say "asking $server as role $role"
	body_write
	ask 'the release' /v1/releases "$work/body" 200
	json_read "$work/answer" "$work/outer" && word "$work/outer" release_id 0-9a-f- && uuid_valid "$word" ||
		end $protocol "the answer is none that a vouchsafe server gives"
	release_id=$word
	member "$work/outer" sealed string && base64_decode "$work/outer/$member" "$work/sealed" ||
		end $protocol "the answer is none that a vouchsafe server gives"
	say "granted: release $release_id"
}

not_for_us() {
	say "WARNING: the sealed answer is not for this agent. Either $server is an impostor, or somebody sits on the way, \
or it is another version. Nothing was written."
	end $protocol "$1"
}

# AuthEnvelopedData with AES-256-GCM, and nothing behind it.
envelope_check() {
	openssl asn1parse -inform DER -in "$work/sealed" 2>/dev/null | awk -v size="$(wc -c <"$work/sealed")" '
		NR == 1 { sub(/.*hl=/, ""); whole = $1; sub(/.* l= */, ""); whole += $1 }
		NR == 2 { type = /:id-smime-ct-authEnvelopedData$/ }
		/:aes-256-gcm$/ { cipher = 1 }
		END { exit !(type && cipher && whole == size + 0) }'
}

# Nothing is read before the whole has been opened: a tag is checked at the end.
release_open() {
	openssl cms -decrypt -inform DER -in "$work/sealed" -inkey "$key" -out "$work/inside" 2>/dev/null || {
		key_there
		not_for_us "our key does not open it"
	}
	json_read "$work/inside" "$work/release" || not_for_us "its content is not JSON"
	rm -f "$work/inside"
	word "$work/release" release_id 0-9a-f- && [ "$word" = "$release_id" ] ||
		not_for_us "its release id is not the answer's"
	word "$work/release" instance-id i0-9a-f- && [ "$word" = "$instance_id" ] ||
		not_for_us "it was sealed for another instance"
	hash=$(assertion_hash)
	word "$work/release" assertion_sha256 0-9a-f && [ "$word" = "${hash%% *}" ] && [ ${#word} -eq 64 ] ||
		not_for_us "it was sealed for another assertion"
	word "$work/release" ack A-Za-z0-9_- && [ ${#word} -le 128 ] || not_for_us "its acknowledgement is not base64url"
	acknowledgement=$word
}

# The value of one secret, under its name in the folder of fresh files.
secret_take() { # its path in the release
	word "$work/release" "$1.name" a-z0-9- && name_valid "$word" || not_for_us "a secret's name is not one"
	name=$word
	[ ! -e "$fresh/$name" ] || not_for_us "the secret $name is in it twice"
	word "$work/release" "$1.kind" a-z0-9- && name_valid "$word" && member "$work/release" "$1.version" number &&
		made_of "$member" 0-9 && [ "$member" != 0 ] || not_for_us "the secret $name has no kind or version"
	word "$work/release" "$1.encoding" a-z0-9- && member "$work/release" "$1.value" string ||
		not_for_us "the secret $name has no value"
	case $word in
	utf-8) cat "$work/release/$member" >"$fresh/$name" ;;
	base64) base64_decode "$work/release/$member" "$fresh/$name" ;;
	*) false ;;
	esac || not_for_us "the secret $name has no value in a known encoding"
	[ -s "$fresh/$name" ] || not_for_us "the secret $name is empty"
	chmod 0400 "$fresh/$name" || end $gave_up "$out: cannot be written to"
	names="$names $name"
}

# All into fresh files of the same file system, before any gets its final name.
secrets_take() {
	mkdir -m 0700 "$out/.vouchsafe.$$" || end $gave_up "$out: cannot be written to"
	fresh=$out/.vouchsafe.$$
	names='' n=0
	member "$work/release" secrets array || not_for_us "it holds no secrets"
	while member "$work/release" "secrets.$n" object; do
		[ $n -lt 64 ] || not_for_us "it holds more than 64 secrets"
		secret_take "secrets.$n"
		n=$((n + 1))
	done
	[ $n -gt 0 ] && ! grep -q "^secrets\\.$n " "$work/release/members" || not_for_us "it holds something else than secrets"
}

files_write() {
	for name in $names; do
		[ ! -d "$out/$name" ] || end $configuration "$out/$name: is a folder"
		flush "$fresh/$name"
	done
	for name in $names; do
		mv -f "$fresh/$name" "$out/$name" || end $gave_up "$out/$name: cannot be written"
		say "written: $out/$name ($(($(wc -c <"$out/$name"))) bytes)"
	done
	rm -rf "$fresh" "$work/release"
	fresh=''
	flush "$out"
	owed=yes
}

acknowledge() {
	cat >"$work/body" <<-END
		{"ack": "$acknowledgement"}
	END
	ask 'the acknowledgement' "/v1/releases/$release_id/ack" "$work/body" 204
	owed=''
	rm -f "$key" || end $gave_up "$key: cannot be removed"
	flush "$state"
	say acknowledged
}

arguments_take "$@"
arguments_check
tools_check
clock
deadline=$((now + seconds))
folder_open "$state"
state=$opened
folder_open "$out"
out=$opened
work_open
metadata_read
key_keep
release_obtain
envelope_check || not_for_us "it is no AuthEnvelopedData with AES-256-GCM"
release_open
secrets_take
files_write
acknowledge
