"""Unwraps what a member has wrapped, by PKCS#11 and SQL alone: a second reading of the envelopes' format. With the PIN
in hand only, which is root's to read in a test."""
import ctypes
import os
import sqlite3

CKO_SECRET_KEY, CKK_AES, CKM_AES_GCM = 4, 0x1f, 0x1087
CKA_CLASS, CKA_TOKEN, CKA_VALUE, CKA_KEY_TYPE, CKA_ID, CKA_DECRYPT = 0, 1, 0x11, 0x100, 0x102, 0x105
CKF_SERIAL_SESSION, CKU_USER, CKR_USER_ALREADY_LOGGED_IN = 4, 1, 0x100
IV, TAG, KEY = 12, 16, 32
ulong = ctypes.c_ulong


class Attribute(ctypes.Structure):
    _fields_ = [("type", ulong), ("value", ctypes.c_void_p), ("length", ulong)]


class Mechanism(ctypes.Structure):
    _fields_ = [("mechanism", ulong), ("parameter", ctypes.c_void_p), ("length", ulong)]


class Gcm(ctypes.Structure):
    _fields_ = [("iv", ctypes.c_char_p), ("iv_length", ulong), ("iv_bits", ulong), ("aad", ctypes.c_char_p),
                ("aad_length", ulong), ("tag_bits", ulong)]


def attributes(**wanted):
    """A template; bytes as they are, numbers as CK_ULONG, truth as CK_BBOOL."""
    rows = []
    for name, value in wanted.items():
        raw = value if isinstance(value, bytes) else (
            bytes([value]) if isinstance(value, bool) else value.to_bytes(ctypes.sizeof(ulong), "little"))
        rows.append(Attribute(globals()[name], ctypes.cast(ctypes.create_string_buffer(raw, len(raw)), ctypes.c_void_p),
                              len(raw)))
    return (Attribute * len(rows))(*rows), len(rows)


def fields(*parts):
    """Each behind its length in 4 bytes; numbers are 4 bytes themselves."""
    raw = [p.to_bytes(4, "big") if isinstance(p, int) else p.encode() for p in parts]
    return b"".join(len(r).to_bytes(4, "big") + r for r in raw)


class Token:
    def __init__(self, module, configuration, pin):
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        self.p11 = ctypes.CDLL(module)
        self.session = ulong()
        self.call("C_Initialize", None)
        slots, n = (ulong * 8)(), ulong(8)
        self.call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(n))
        self.call("C_OpenSession", slots[0], ulong(CKF_SERIAL_SESSION), None, None, ctypes.byref(self.session))
        self.call("C_Login", self.session, ulong(CKU_USER), pin.encode(), ulong(len(pin)))

    def call(self, name, *arguments):
        code = getattr(self.p11, name)(*arguments)
        if code:
            raise AssertionError("%s: 0x%x" % (name, code))

    def find(self, key_id):
        key, n = ulong(), ulong()
        template, length = attributes(CKA_CLASS=CKO_SECRET_KEY, CKA_ID=key_id)
        self.call("C_FindObjectsInit", self.session, template, ulong(length))
        self.call("C_FindObjects", self.session, ctypes.byref(key), ulong(1), ctypes.byref(n))
        self.call("C_FindObjectsFinal", self.session)
        assert n.value == 1, "no key " + key_id.hex()
        return key

    def bring(self, value):
        """A key of this session alone."""
        key = ulong()
        template, length = attributes(CKA_CLASS=CKO_SECRET_KEY, CKA_KEY_TYPE=CKK_AES, CKA_TOKEN=False,
                                      CKA_DECRYPT=True, CKA_VALUE=value)
        self.call("C_CreateObject", self.session, template, ulong(length), ctypes.byref(key))
        return key

    def decrypt(self, key, iv, aad, sealed):
        gcm = Gcm(iv, len(iv), 8 * len(iv), aad, len(aad), 8 * TAG)
        mechanism = Mechanism(CKM_AES_GCM, ctypes.addressof(gcm), ctypes.sizeof(gcm))
        out, n = ctypes.create_string_buffer(len(sealed)), ulong(len(sealed))
        self.call("C_DecryptInit", self.session, ctypes.byref(mechanism), key)
        self.call("C_Decrypt", self.session, sealed, ulong(len(sealed)), out, ctypes.byref(n))
        return out.raw[:n.value]


def open_all(store, token):
    """{name: (data key, plaintext)} of the newest version of every envelope in the store."""
    database = sqlite3.connect("file:%s?mode=ro" % store, uri=True)
    try:
        vault, generation, key_id = database.execute("SELECT vault, generation, key_id FROM member").fetchone()
        rows = database.execute("SELECT name, version, kind, nonce, text, bytes FROM envelope JOIN wrap USING "
                                "(name, version) ORDER BY version").fetchall()
        member = database.execute("SELECT member FROM member").fetchone()[0]
    finally:
        database.close()
    wrapping, found = token.find(bytes.fromhex(key_id)), {}
    for name, version, kind, nonce, text, wrap in rows:
        label = (vault, name, version, kind)
        key = token.decrypt(wrapping, wrap[:IV], fields("vouchsafe wrap v1", *label, member, generation), wrap[IV:])
        found[name] = key, token.decrypt(token.bring(key), nonce, fields("vouchsafe envelope v1", *label), text)
    return found
