"""gmqtt_session.py PORT 4|5 USER PASSWORD WRONG_PASSWORD: one whole session, then `done`."""
import asyncio
import sys

import gmqtt

PORT, VERSION, USER, PASSWORD, WRONG = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
PATIENCE = 10


class Client:
    """A client whose callbacks become queues."""

    def __init__(self, name, password=PASSWORD, keep=False):
        self.messages, self.granted, self.connected = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        more = {"session_expiry_interval": 300} if keep and VERSION == 5 else {}
        c = self.client = gmqtt.Client(name, clean_session=not keep, **more)
        c.set_auth_credentials(USER, password)
        c.set_config({"reconnect_retries": 0})
        c.on_connect = lambda c, flags, code, properties: self.connected.put_nowait((flags, code))
        c.on_subscribe = lambda c, mid, codes, properties: self.granted.put_nowait(list(codes))
        c.on_message = self.on_message

    async def on_message(self, client, topic, payload, qos, properties):
        self.messages.put_nowait((topic, bytes(payload), qos, properties))
        return 0

    async def open(self):
        await asyncio.wait_for(self.client.connect("127.0.0.1", PORT, version=VERSION), PATIENCE)
        flags, code = await asyncio.wait_for(self.connected.get(), PATIENCE)
        same(code, 0, "CONNACK")
        self.session_present = flags & 1
        return self

    async def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        return await asyncio.wait_for(self.granted.get(), PATIENCE)

    async def next(self):
        return await asyncio.wait_for(self.messages.get(), PATIENCE)


def same(got, expected, what):
    assert got == expected, f"{what}: {got!r}, not {expected!r}"


async def main():
    try:
        await Client("refused", WRONG).open()
    except Exception as error:  # whatever its name is, it is not a session
        assert not isinstance(error, AssertionError), error
    else:
        raise AssertionError("a wrong password logs in")
    receiver, sender = await Client("receiver", keep=True).open(), await Client("sender").open()
    for qos in (0, 1, 2):
        same(await receiver.subscribe(f"plant/{qos}", qos), [qos], "granted")
    same(await receiver.subscribe("office/#", 1), [0x80 if VERSION == 4 else 0x87], "refused")
    for qos in (0, 1, 2):
        for payload in (b"small", bytes(range(256)) * 400):
            more = {"user_property": [("a", "1"), ("a", "2")]} if VERSION == 5 else {}
            sender.client.publish(f"plant/{qos}", payload, qos=qos, **more)
            topic, got, got_qos, properties = await receiver.next()
            same((topic, got, got_qos), (f"plant/{qos}", payload, qos), "message")
            if VERSION == 5:
                same(properties["user_property"], [("a", "1"), ("a", "2")], "user properties")
    await receiver.client.disconnect()
    for qos in (1, 2):
        sender.client.publish(f"plant/{qos}", f"queued {qos}", qos=qos)
    receiver = await Client("receiver", keep=True).open()
    assert receiver.session_present, "the session was not kept"
    same([(await receiver.next())[1] for _ in (1, 2)], [b"queued 1", b"queued 2"], "queued messages")
    sender.client.publish("plant/r", b"kept", qos=1, retain=True)
    late = await Client("late").open()
    same(await late.subscribe("plant/r", 1), [1], "granted")
    topic, payload, qos, properties = await late.next()
    same((payload, properties["retain"]), (b"kept", 1), "retained message")
    sender.client.publish("plant/r", b"", qos=1, retain=True)
    await late.next()
    for client in (receiver, sender, late):
        await client.client.disconnect()
    ended = await Client("receiver").open()
    await ended.client.disconnect()
    print("done")


asyncio.run(main())
