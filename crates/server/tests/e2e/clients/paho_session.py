"""paho_session.py PORT 4|5 USER PASSWORD WRONG_PASSWORD: one whole session, then `done`."""
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT, VERSION, USER, PASSWORD, WRONG = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:6]
PATIENCE = 10


class Client:
    """A client whose callbacks become queues."""

    def __init__(self, client_id, password=PASSWORD, keep=False):
        self.connected, self.messages, self.granted, self.published = (queue.Queue() for _ in range(4))
        kind = {"clean_session": not keep} if VERSION == 4 else {}
        c = self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=VERSION, **kind)
        c.username_pw_set(USER, password)
        c.on_connect = lambda c, u, flags, code, props: self.connected.put((flags.session_present, code))
        c.on_message = lambda c, u, message: self.messages.put(message)
        c.on_subscribe = lambda c, u, mid, codes, props: self.granted.put([code.value for code in codes])
        c.on_publish = lambda c, u, mid, code, props: self.published.put(code.value)
        more = {}
        if VERSION == 5:
            more["clean_start"] = not keep
            if keep:
                more["properties"] = Properties(PacketTypes.CONNECT)
                more["properties"].SessionExpiryInterval = 300
        c.connect("127.0.0.1", PORT, 30, **more)
        c.loop_start()
        self.session_present, self.code = self.connected.get(timeout=PATIENCE)

    def subscribe(self, *filters):
        with_options = [(f, SubscribeOptions(qos=q)) if VERSION == 5 else (f, q) for f, q in filters]
        self.client.subscribe(with_options)
        return self.granted.get(timeout=PATIENCE)

    def publish(self, topic, payload, qos, **more):
        self.client.publish(topic, payload, qos, **more)
        return self.published.get(timeout=PATIENCE)

    def next(self):
        return self.messages.get(timeout=PATIENCE)

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


def same(got, expected, what):
    assert got == expected, f"{what}: {got!r}, not {expected!r}"


refused = Client("refused", WRONG)
assert refused.code.is_failure, "a wrong password logs in"
refused.client.loop_stop()

receiver, sender = Client("receiver", keep=True), Client("sender")
assert not receiver.code.is_failure and not sender.code.is_failure, "the right password is refused"
same(receiver.subscribe(("plant/0", 0), ("plant/1", 1), ("plant/2", 2)), [0, 1, 2], "granted")
no = 0x80 if VERSION == 4 else 0x87
same(receiver.subscribe(("plant/safe", 1), ("office/#", 1), ("plant/r", 1)), [no, no, 1], "granted and not")
for qos in (0, 1, 2):
    for payload in (b"", b"small", bytes(range(256)) * 400):
        same(sender.publish(f"plant/{qos}", payload, qos), 0, f"publish with QoS {qos}")
        message = receiver.next()
        same((message.topic, message.payload, message.qos), (f"plant/{qos}", payload, qos), "message")
same(sender.publish("office/x", b"no", 1), 0 if VERSION == 4 else 0x87, "denied publish")
if VERSION == 5:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("a", "1"), ("a", "2")]
    properties.ContentType, properties.ResponseTopic = "text/plain", "plant/answer"
    properties.CorrelationData, properties.PayloadFormatIndicator = b"\x00\xff", 1
    sender.publish("plant/1", "text", 1, properties=properties)
    got = receiver.next().properties
    same(got.UserProperty, [("a", "1"), ("a", "2")], "user properties")
    same((got.ContentType, got.ResponseTopic), ("text/plain", "plant/answer"), "content and response")
    same((got.CorrelationData, got.PayloadFormatIndicator), (b"\x00\xff", 1), "correlation and format")

receiver.end()
for qos in (1, 2):
    same(sender.publish(f"plant/{qos}", f"queued {qos}", qos), 0, "publish to a session that is away")
receiver = Client("receiver", keep=True)
assert receiver.session_present, "the session was not kept"
same([receiver.next().payload for _ in (1, 2)], [b"queued 1", b"queued 2"], "queued messages")
sender.publish("plant/r", b"kept", 1, retain=True)
same(receiver.next().retain, False, "a live message is not marked as retained")
late = Client("late")
same(late.subscribe(("plant/r", 1)), [1], "granted")
message = late.next()
same((message.payload, message.retain), (b"kept", True), "retained message")
sender.publish("plant/r", b"", 1, retain=True)
for client in (receiver, sender, late):
    client.end()
ended = Client("receiver")
ended.end()
print("done")
