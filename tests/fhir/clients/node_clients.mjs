// Every call of three FHIR clients for JavaScript, against the server and with the token of the arguments.
// Prints a line of JSON for each client: its name, and what it found.
import { Client as FhirKitClient } from 'fhir-kit-client'
import { createRequire } from 'node:module'

// Node 20 has none, and the library names the class as it loads; nothing here opens a socket.
globalThis.WebSocket ??= class {}
const { MedplumClient } = await import('@medplum/core')

const [baseUrl, token, family] = process.argv.slice(2)
const authorization = `Bearer ${token}`
const LOINC = 'http://loinc.org'

function patient(name) {
  return { resourceType: 'Patient', name: [{ family: name, given: ['Ada'] }] }
}

function pulse(id, day) {
  return {
    resourceType: 'Observation',
    status: 'final',
    code: { coding: [{ system: LOINC, code: '8867-4' }] },
    subject: { reference: `Patient/${id}` },
    effectiveDateTime: day,
    valueQuantity: { value: 60, unit: '/min' },
  }
}

const bundle = {
  resourceType: 'Bundle',
  type: 'transaction',
  entry: [
    { resource: patient('Bundle'), request: { method: 'POST', url: 'Patient' } },
    { resource: patient('Bundle'), request: { method: 'POST', url: 'Patient' } },
  ],
}

async function fhirKit() {
  const client = new FhirKitClient({ baseUrl, customHeaders: { Authorization: authorization } })
  const capability = await client.capabilityStatement()
  const smart = await client.smartAuthMetadata()
  const made = await client.create({ resourceType: 'Patient', body: patient(family + 'kit') })
  const read = await client.read({ resourceType: 'Patient', id: made.id })
  const changed = await client.update({
    resourceType: 'Patient', id: made.id, body: { ...read, gender: 'female' },
    options: { headers: { 'If-Match': 'W/"1"' } },
  })
  const patched = await client.patch({
    resourceType: 'Patient', id: made.id, jsonPatch: [{ op: 'add', path: '/birthDate', value: '1980-01-02' }],
  })
  for (const day of ['2024-01-01', '2024-01-02', '2024-01-03']) {
    await client.create({ resourceType: 'Observation', body: pulse(made.id, day) })
  }
  const first = await client.search({ resourceType: 'Observation', searchParams: { patient: made.id, _count: 2, _sort: 'date' } })
  const next = await client.nextPage({ bundle: first })
  const compartment = await client.compartmentSearch({
    resourceType: 'Observation', compartment: { resourceType: 'Patient', id: made.id },
  })
  const posted = await client.resourceSearch({
    resourceType: 'Patient', searchParams: { family: family + 'kit' }, options: { postSearch: true },
  })
  const history = await client.resourceHistory({ resourceType: 'Patient', id: made.id })
  const typeHistory = await client.typeHistory({ resourceType: 'Patient' })
  const version = await client.vread({ resourceType: 'Patient', id: made.id, version: '1' })
  const transaction = await client.transaction({ body: bundle })
  const batch = await client.batch({ body: { ...bundle, type: 'batch' } })
  const everything = await client.operation({ name: 'everything', resourceType: 'Patient', id: made.id, method: 'get' })
  const validated = await client.operation({
    name: 'validate', resourceType: 'Patient', input: patient('Valid'),
  })
  await client.delete({ resourceType: 'Observation', id: compartment.entry[0].resource.id })
  return {
    fhirVersion: capability.fhirVersion,
    signIn: Boolean(smart.authorizeUrl && smart.tokenUrl),
    changed: [changed.gender, patched.birthDate, version.meta.versionId],
    pages: [first.entry.length, next.entry.length],
    found: [compartment.entry.length, posted.entry.length],
    history: [history.entry.length, typeHistory.entry.length > 0],
    bundles: [...transaction.entry, ...batch.entry].map((entry) => entry.response.status.slice(0, 3)),
    everything: everything.entry.length,
    validated: validated.resourceType,
  }
}

async function medplum() {
  const url = new URL(baseUrl)
  const client = new MedplumClient({ baseUrl: url.origin + '/', fhirUrlPath: url.pathname.slice(1) + '/', fetch, cacheTime: 0 })
  client.setAccessToken(token)
  const made = await client.createResource(patient(family + 'medplum'))
  const again = await client.createResourceIfNoneExist(patient(family + 'medplum'), `name=${family}medplum`)
  const changed = await client.updateResource({ ...made, gender: 'female' })
  const patched = await client.patchResource('Patient', made.id, [{ op: 'add', path: '/birthDate', value: '1980-01-02' }])
  for (const day of ['2024-01-01', '2024-01-02', '2024-01-03']) await client.createResource(pulse(made.id, day))
  const found = await client.searchResources('Observation', { patient: made.id, _count: 2 })
  let paged = 0
  for await (const page of client.searchResourcePages('Observation', { patient: made.id, _count: 2 })) paged += page.length
  const one = await client.searchOne('Patient', { family: family + 'medplum' })
  const history = await client.readHistory('Patient', made.id)
  const version = await client.readVersion('Patient', made.id, '1')
  const everything = await client.readPatientEverything(made.id)
  const metadata = await client.get(client.fhirUrl('metadata'))
  const read = await client.readResource('Patient', made.id)
  const versioned = await client.updateResource(
    { ...read, active: true }, { headers: { 'If-Match': `W/"${read.meta.versionId}"` } },
  )
  const transaction = await client.executeBatch(bundle)
  const batch = await client.executeBatch({ ...bundle, type: 'batch' })
  const validated = await client.validateResource(patient('Valid'))
  await client.deleteResource('Observation', found[0].id)
  return {
    same: again.id === made.id,
    changed: [changed.gender, patched.birthDate, version.meta.versionId],
    found: [found.length, paged, one.id === made.id],
    history: history.entry.length,
    everything: everything.entry.length,
    metadata: metadata.fhirVersion,
    versioned: versioned.active,
    bundles: [...transaction.entry, ...batch.entry].map((entry) => entry.response.status.slice(0, 3)),
    validated: validated.resourceType,
  }
}

async function smart() {
  const require = createRequire(import.meta.url)
  const FHIR = require('fhirclient')
  const client = FHIR({ url: '/', headers: {} }, { redirect() {} }, undefined).client({
    serverUrl: baseUrl, tokenResponse: { access_token: token },
  })
  const made = await client.create(patient(family + 'smart'))
  const changed = await client.update({ ...made, gender: 'female' })
  const patched = await client.patch(`Patient/${made.id}`, [{ op: 'add', path: '/birthDate', value: '1980-01-02' }])
  for (const day of ['2024-01-01', '2024-01-02', '2024-01-03']) await client.create(pulse(made.id, day))
  const all = await client.request(`Observation?patient=${made.id}&_count=2`, { pageLimit: 0, flat: true })
  const resolved = await client.request(`Observation?patient=${made.id}`, { resolveReferences: ['subject'], graph: true, flat: true })
  const version = await client.getFhirVersion()
  const metadata = await client.request('metadata')
  const read = await client.request(`Patient/${made.id}`)
  const post = (url, body, headers = {}) => client.request({
    url, method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/fhir+json', ...headers },
  })
  const versioned = await client.request({
    url: `Patient/${made.id}`, method: 'PUT', body: JSON.stringify({ ...read, active: true }),
    headers: { 'Content-Type': 'application/fhir+json', 'If-Match': `W/"${read.meta.versionId}"` },
  })
  const history = await client.request(`Patient/${made.id}/_history`)
  const transaction = await post('', bundle)
  const batch = await post('', { ...bundle, type: 'batch' })
  const everything = await client.request(`Patient/${made.id}/$everything`)
  const validated = await post('Patient/$validate', patient('Valid'))
  await client.delete(`Observation/${all[0].id}`)
  return {
    metadata: metadata.resourceType,
    versioned: versioned.meta.versionId,
    history: history.entry.length,
    bundles: [...transaction.entry, ...batch.entry].map((entry) => entry.response.status.slice(0, 3)),
    everything: everything.entry.length,
    validated: validated.resourceType,
    changed: [changed.gender, patched.birthDate],
    paged: all.length,
    resolved: resolved[0].subject.name[0].family === family + 'smart',
    fhirVersion: version,
  }
}

for (const [name, run] of Object.entries({ fhirKit, medplum, smart })) {
  let result
  try {
    result = await run()
  } catch (error) {
    result = { failed: String(error?.stack ?? error), response: error?.response?.data ?? error?.outcome }
  }
  process.stdout.write(JSON.stringify({ name, result }) + '\n')
}
process.exit(0)
