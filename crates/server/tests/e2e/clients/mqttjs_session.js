// mqttjs_session.js PORT 4|5 USER PASSWORD WRONG_PASSWORD: one whole session, then `done`.
const assert = require('assert')
const mqtt = require('mqtt')

const [port, version, username, password, wrong] = process.argv.slice(2)
const protocolVersion = Number(version)
const patience = 10000

function within(promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), patience)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// A client whose messages can be waited for one by one.
async function connect(clientId, more = {}) {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    clientId, username, password, protocolVersion, reconnectPeriod: 0, connectTimeout: patience, ...more,
  })
  const messages = []
  const waiting = []
  client.on('message', (topic, payload, packet) => {
    const message = { topic, payload, packet }
    if (waiting.length) waiting.shift()(message)
    else messages.push(message)
  })
  client.nextMessage = () => within(
    messages.length ? Promise.resolve(messages.shift()) : new Promise((done) => waiting.push(done)), 'a message')
  client.connack = await within(new Promise((done, fail) => {
    client.on('connect', done)
    client.on('error', fail)
  }), 'CONNACK')
  return client
}

const kept = { clean: false, ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 300 } }) }

async function main() {
  await assert.rejects(connect('refused', { password: wrong }), 'a wrong password logs in')
  let receiver = await connect('js-receiver', kept)
  const sender = await connect('js-sender')
  const granted = await receiver.subscribeAsync({ 'plant/0': { qos: 0 }, 'plant/1': { qos: 1 }, 'plant/2': { qos: 2 } })
  assert.deepStrictEqual(granted.map((g) => g.qos), [0, 1, 2])
  await assert.rejects(receiver.subscribeAsync('office/#'), 'a filter without right is granted')
  for (const qos of [0, 1, 2]) {
    for (const payload of [Buffer.from('small'), Buffer.alloc(100000, 7)]) {
      await within(sender.publishAsync(`plant/${qos}`, payload, { qos }), `publish with QoS ${qos}`)
      const message = await receiver.nextMessage()
      assert.strictEqual(message.topic, `plant/${qos}`)
      assert.strictEqual(message.packet.qos, qos)
      assert.ok(message.payload.equals(payload), 'the payload changed')
    }
  }
  const denied = within(sender.publishAsync('office/x', 'no', { qos: 1 }), 'denied publish')
  if (protocolVersion === 5) await assert.rejects(denied, 'a denied publish is not told')
  else await denied

  await receiver.endAsync()
  for (const qos of [1, 2]) await within(sender.publishAsync(`plant/${qos}`, `queued ${qos}`, { qos }), 'publish')
  receiver = await connect('js-receiver', kept)
  assert.ok(receiver.connack.sessionPresent, 'the session was not kept')
  for (const qos of [1, 2]) assert.strictEqual((await receiver.nextMessage()).payload.toString(), `queued ${qos}`)

  await within(sender.publishAsync('plant/r', 'kept', { qos: 1, retain: true }), 'publish')
  const late = await connect('js-late')
  await late.subscribeAsync('plant/r')
  assert.strictEqual((await late.nextMessage()).packet.retain, true)
  await within(sender.publishAsync('plant/r', '', { qos: 1, retain: true }), 'publish')
  await Promise.all([receiver, sender, late].map((client) => client.endAsync()))
  console.log('done')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
