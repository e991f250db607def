"""mqttools_session.py PORT 5 USER PASSWORD WRONG_PASSWORD: one whole session, then `done`.

mqttools knows MQTT 5 and QoS 0 only, but sets topic aliases and takes them from the server.
"""
import asyncio
import sys

import mqttools

PORT, VERSION, USER, PASSWORD, WRONG = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
PATIENCE = 10


def client(name, password=PASSWORD, **more):
    return mqttools.Client("127.0.0.1", PORT, name, username=USER, password=password.encode(), connect_delays=[],
                           response_timeout=PATIENCE, **more)


async def next_message(of):
    return await asyncio.wait_for(of.messages.get(), PATIENCE)


def same(got, expected, what):
    assert got == expected, f"{what}: {got!r}, not {expected!r}"


async def main():
    same(VERSION, 5, "version")
    try:
        await client("refused", WRONG).start()
    except mqttools.ConnectError:
        pass
    else:
        raise AssertionError("a wrong password logs in")
    receiver = client("receiver", session_expiry_interval=300)
    sender = client("sender", topic_aliases=["plant/long/topic/with/an/alias"])
    await receiver.start()
    await sender.start()
    await receiver.subscribe("plant/#")
    try:
        await receiver.subscribe("office/#")
    except mqttools.SubscribeError:
        pass
    else:
        raise AssertionError("a filter without right is granted")
    for topic in ("plant/a", "plant/long/topic/with/an/alias"):
        for payload in (b"", b"small", b"small again", bytes(range(256)) * 400):
            sender.publish(mqttools.Message(topic, payload, response_topic="plant/answers"))
            got = await next_message(receiver)
            same((got.topic, got.message, got.response_topic), (topic, payload, "plant/answers"), "message")
    await receiver.stop()
    receiver = client("receiver", session_expiry_interval=300)
    await receiver.start(resume_session=True)
    sender.publish(mqttools.Message("plant/a", b"still subscribed"))
    same((await next_message(receiver)).message, b"still subscribed", "message of the resumed session")
    sender.publish(mqttools.Message("plant/r", b"kept", retain=True))
    same((await next_message(receiver)).message, b"kept", "message")
    late = client("late")
    await late.start()
    await late.subscribe("plant/r")
    got = await next_message(late)
    same((got.message, got.retain), (b"kept", True), "retained message")
    sender.publish(mqttools.Message("plant/r", b"", retain=True))
    same((await next_message(late)).message, b"", "message")
    await late.unsubscribe("plant/r")
    for each in (receiver, sender, late):
        await each.stop()
    ended = client("receiver")
    await ended.start()
    await ended.stop()
    print("done")


asyncio.run(main())
