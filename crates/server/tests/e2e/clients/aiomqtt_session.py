"""aiomqtt_session.py PORT 4|5 USER PASSWORD WRONG_PASSWORD: one whole session, then `done`."""
import asyncio
import sys

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, VERSION, USER, PASSWORD, WRONG = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
PATIENCE = 10


def client(name, password=PASSWORD, keep=False):
    more = {"clean_session": not keep} if VERSION == 4 else {"clean_start": not keep}
    if VERSION == 5 and keep:
        more["properties"] = Properties(PacketTypes.CONNECT)
        more["properties"].SessionExpiryInterval = 300
    protocol = aiomqtt.ProtocolVersion.V5 if VERSION == 5 else aiomqtt.ProtocolVersion.V311
    return aiomqtt.Client("127.0.0.1", PORT, username=USER, password=password, identifier=name,
                          protocol=protocol, timeout=PATIENCE, **more)


async def next_message(of):
    return await asyncio.wait_for(anext(of.messages), PATIENCE)


def same(got, expected, what):
    assert got == expected, f"{what}: {got!r}, not {expected!r}"


async def main():
    try:
        async with client("refused", WRONG):
            raise AssertionError("a wrong password logs in")
    except aiomqtt.MqttError:
        pass
    async with client("sender") as sender:
        async with client("receiver", keep=True) as receiver:
            for qos in (0, 1, 2):
                granted = await receiver.subscribe(f"plant/{qos}", qos)
                same([getattr(code, "value", code) for code in granted], [qos], "granted")
            refused = await receiver.subscribe("office/#", 1)
            same([getattr(code, "value", code) for code in refused], [0x80 if VERSION == 4 else 0x87], "refused")
            for qos in (0, 1, 2):
                for payload in (b"", b"small", bytes(range(256)) * 400):
                    await sender.publish(f"plant/{qos}", payload, qos)
                    got = await next_message(receiver)
                    same((str(got.topic), got.payload, got.qos), (f"plant/{qos}", payload, qos), "message")
        for qos in (1, 2):
            await sender.publish(f"plant/{qos}", f"queued {qos}", qos)
        async with client("receiver", keep=True) as receiver:
            for qos in (1, 2):
                got = await next_message(receiver)
                same((got.payload, got.qos), (f"queued {qos}".encode(), qos), "queued message")
        await sender.publish("plant/r", b"kept", 1, retain=True)
        async with client("late") as late:
            await late.subscribe("plant/r", 1)
            got = await next_message(late)
            same((got.payload, got.retain), (b"kept", True), "retained message")
        await sender.publish("plant/r", b"", 1, retain=True)
    async with client("receiver"):
        pass
    print("done")


asyncio.run(main())
