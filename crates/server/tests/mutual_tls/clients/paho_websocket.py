"""paho_websocket.py ws|wss PORT 4|5 certificate|USER PASSWORD: a large message there and back, then `done`."""
import sys
import threading

import paho.mqtt.client as mqtt

scheme, port, version, user, password = sys.argv[1:6]
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, transport="websockets", protocol=int(version))
client.ws_set_options(path="/mqtt")
if scheme == "wss":
    is_proven = user == "certificate"
    client.tls_set(ca_certs="ca.crt", certfile="press-7.crt" if is_proven else None,
                   keyfile="press-7.key" if is_proven else None)
if user != "certificate":
    client.username_pw_set(user, password)
payload = bytes(range(256)) * 1000
came_back = threading.Event()


def on_connect(client, userdata, flags, reason, properties):
    assert not reason.is_failure, reason
    client.subscribe("w/#", 1)


def on_subscribe(client, userdata, mid, reasons, properties):
    client.publish("w/x", payload, 1)


def on_message(client, userdata, message):
    assert message.payload == payload
    came_back.set()


client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("localhost", int(port))
client.loop_start()
assert came_back.wait(20), "the message came back"
client.disconnect()
client.loop_stop()
print("done")
