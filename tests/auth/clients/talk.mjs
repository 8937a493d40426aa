// Speaks with the test that started the script: a line of JSON each way.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export function tell(message) {
  process.stdout.write(JSON.stringify(message) + '\n')
}

/** Has the person's browser open `url`; returns where it was sent in the end. */
export async function open(url) {
  tell({ open: url.toString() })
  return new URL((await lines.next()).value)
}

export const settings = JSON.parse((await lines.next()).value)

export function done(result) {
  tell({ done: result })
  process.exit(0)
}

/** Sends a form to an endpoint that was discovered, for what a library has no call. */
export async function send(endpoint, form, [clientId, secret], way = 'basic') {
  const body = new URLSearchParams(form)
  const headers = {}
  if (way === 'basic') headers.authorization = `Basic ${btoa(`${clientId}:${secret}`)}`
  else for (const [name, value] of [['client_id', clientId], ['client_secret', secret]]) body.set(name, value)
  const answer = await fetch(endpoint, { method: 'POST', body, headers })
  return { status: answer.status, body: await answer.text() }
}
