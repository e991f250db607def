// mqttjs_websocket.js ws|wss PORT 4|5 certificate|USER PASSWORD: a large message there and back, then `done`.
const assert = require('assert')
const fs = require('fs')
const mqtt = require('mqtt')

const [scheme, port, version, user, password] = process.argv.slice(2)
const isProven = user === 'certificate'
const client = mqtt.connect(`${scheme}://localhost:${port}/mqtt`, {
  protocolVersion: Number(version),
  reconnectPeriod: 0,
  connectTimeout: 10000,
  ...(scheme === 'wss' && { ca: fs.readFileSync('ca.crt') }),
  ...(isProven && { cert: fs.readFileSync('press-7.crt'), key: fs.readFileSync('press-7.key') }),
  ...(!isProven && { username: user, password }),
})
const payload = Buffer.alloc(256000, 'countersign')
const late = setTimeout(() => assert.fail('not in time'), 20000)
client.on('error', (error) => { throw error })
client.on('connect', () => client.subscribe('w/#', { qos: 1 }, () => client.publish('w/x', payload, { qos: 1 })))
client.on('message', (topic, received) => {
  assert(received.equals(payload))
  clearTimeout(late)
  client.end(false, {}, () => console.log('done'))
})
