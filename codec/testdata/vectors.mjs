// Writes vectors.json: payloads as an implementation makes them that shares no code with
// package codec. AES-256-GCM is OpenSSL's, through node's crypto; zstd is the reference
// implementation's command line program.
//
//	node codec/testdata/vectors.mjs
//
// Needs node 18 or later and zstd 1.4 or later in the PATH.
import { createCipheriv } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const key = '2026-02'
const secret = Buffer.from('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'hex')

// One event is its object, several are an array.
const json = events => Buffer.from(events.length === 1 ? events[0] : `[${events.join(',')}]`)

// From a file, so that the frame holds its content size.
function zstd(content, ...args) {
  const dir = mkdtempSync(join(tmpdir(), 'vectors-'))
  try {
    writeFileSync(join(dir, 'content'), content)
    return execFileSync('zstd', ['-q', '-c', ...args, join(dir, 'content')])
  } finally {
    rmSync(dir, { recursive: true })
  }
}

// Fields of a 4-byte big-endian length and so many bytes.
function additionalData(place, count, codec) {
  const fields = ['enact payload 1', place.tenant, place.execution, place.sequence, String(count), codec]
  return Buffer.concat(fields.flatMap(f => {
    const bytes = Buffer.from(f)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    return [length, bytes]
  }))
}

function seal(plaintext, nonce, additional) {
  const cipher = createCipheriv('aes-256-gcm', secret, nonce)
  cipher.setAAD(additional)
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

const vectors = []
function add(name, place, codec, events, { nonce, args = ['-3', '--no-check'] } = {}) {
  const v = { name, ...place, codec, events }
  let payload = json(events)
  if (codec.includes('+zstd')) {
    payload = zstd(payload, ...args)
  }
  if (nonce) {
    const additional = additionalData(place, events.length, codec)
    v.plaintext = payload.toString('hex')
    v.nonce = nonce
    v.additional = additional.toString('hex')
    payload = seal(payload, Buffer.from(nonce, 'hex'), additional)
  }
  v.payload = payload.toString('hex')
  vectors.push(v)
}

const paused = reason => JSON.stringify({ type: 'execution_paused', reason })
const started = n => JSON.stringify({
  type: 'tool_call_started', step_id: null, tool_call_id: `call_${n}`, tool_name: 'search',
  input: { query: `what the log holds, part ${n}`, limit: 10 },
})
const several = n => Array.from({ length: n }, (_, i) => started(i + 1))

const acme = { tenant: 'acme', execution: 'exec_2qJ8fVvB0mYc4kN7sTzRdWxEa1G', sequence: '2' }
const far = { tenant: 'Zürich 漢字', execution: '🦀.*>', sequence: '18446744073709551613' }
const nonce = n => Buffer.from(`vector nr ${String(n).padStart(2, '0')}`).toString('hex')

add('one event, encrypted', acme, `json+aes256gcm;key=${key}`, [paused('2.1.1')], { nonce: nonce(1) })
add('two events, encrypted', acme, `json+aes256gcm;key=${key}`, [paused('2.1.1'), paused('2.1.2')], { nonce: nonce(2) })
add('ids beyond ASCII, the last sequence', far, `json+aes256gcm;key=${key}`, [paused('é'), paused(''), paused('漢')], { nonce: nonce(3) })
add('events, compressed', acme, 'json+zstd', several(8))
add('events, compressed and encrypted', acme, `json+zstd+aes256gcm;key=${key}`, several(8), { nonce: nonce(4) })
add('one event, compressed, its size in one byte', acme, 'json+zstd', [paused('a'.repeat(100))])
add('one event, compressed, its size in two bytes', acme, 'json+zstd', [paused('ab'.repeat(1000))])
add('one event, compressed, its size in four bytes', acme, 'json+zstd', [paused('abc'.repeat(22000))])
add('with a checksum', acme, 'json+zstd', several(20), { args: ['-3', '--check'] })
add('zstd level 19', acme, 'json+zstd', several(50), { args: ['-19', '--no-check'] })
add('zstd level -5', acme, 'json+zstd', several(20), { args: ['--fast=5', '--no-check'] })

writeFileSync(new URL('vectors.json', import.meta.url), JSON.stringify({ key, secret: secret.toString('hex'), vectors }, null, 1) + '\n')
