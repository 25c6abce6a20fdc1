"""The sink: a network of the test's own in which every address leads to this machine, and every packet that was meant
for anyone but loopback is counted. It is entered before anything is started, so that all that is started lives in it."""
import ctypes
import ipaddress
import os
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86DD
CONNECTING = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)


class Sink:
    """What it counts from its making on: (address, port) of each packet, in `strangers`."""

    def __init__(self):
        """OSError: there may be no network of our own here, and nothing was entered."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net", "rb") as before:
            if libc.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            try:
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
                subprocess.run(["ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo"], check=True)
            except subprocess.CalledProcessError as failure:
                libc.setns(before.fileno(), CLONE_NEWNET)
                raise PermissionError(str(failure)) from failure
        if os.path.exists("/proc/net/if_inet6"):  # a machine without IPv6 reaches nobody by it
            subprocess.run(["ip", "-6", "route", "add", "local", "::/0", "dev", "lo"], check=False,
                           stderr=subprocess.DEVNULL)
        self.strangers = []
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            packet, (_, protocol, kind, *_) = self.socket.recvfrom(256)
            if kind == socket.PACKET_OUTGOING:
                stranger = meant_for(protocol, packet)
                if stranger:
                    self.strangers.append(stranger)


def meant_for(protocol, packet):
    """(address, port) that a TCP or UDP packet goes to; None where that is loopback."""
    if protocol == ETH_P_IP and len(packet) >= 20:
        header, kind, address = (packet[0] & 15) * 4, packet[9], packet[16:20]
    elif protocol == ETH_P_IPV6 and len(packet) >= 40:
        header, kind, address = 40, packet[6], packet[24:40]
    else:
        return None
    address = ipaddress.ip_address(address)
    if address.is_loopback or kind not in CONNECTING:
        return None
    return str(address), int.from_bytes(packet[header + 2:header + 4], "big")
