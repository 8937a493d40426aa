// Shows the OpenAPI document part by part: whole, its types within types would take the viewer minutes.
'use strict'

const FHIR = '/fhir/R4'
const TYPE = /^\/fhir\/R4\/([A-Z]\w+)/

// Whether an operation belongs to a part: a tag, or a FHIR type.
function belongs(part, path, operation) {
  const type = TYPE.exec(path)?.[1]
  if (part === 'FHIR R4') return path.startsWith(FHIR) && !type && operation.tags.includes(part)
  return type ? part === type : operation.tags.includes(part)
}

// A data type, or an element within itself: its name in the place of its elements.
function named(name, description) {
  const link = `[${name}](https://hl7.org/fhir/R4/datatypes.html#${name})`
  return { type: 'object', title: name, description: description ? `${link}. ${description}` : link }
}

// Copies a value with what it refers to in its place: to follow references takes the viewer seconds.
function inline(value, components, within = []) {
  if (Array.isArray(value)) return value.map((item) => inline(item, components, within))
  if (value === null || typeof value !== 'object') return value
  if (typeof value.$ref === 'string') {
    const [, , kind, name] = value.$ref.split('/')
    const type = /^fhir\.([A-Z]\w*)$/.exec(name)?.[1]
    if (within.includes(name) || (type && within.length)) {
      return named(type ?? name.replace(/^fhir\./, ''), value.description)
    }
    const deeper = kind === 'schemas' ? [...within, name] : within
    const { $ref, ...beside } = value
    return { ...inline(components[kind][name], components, deeper), ...beside }
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, inline(item, components, within)]),
  )
}

function withoutContent({ content, ...answer }) {
  return answer
}

// The operation with its answers in the place of their references.
function resolve(operation, components) {
  const responses = Object.entries(operation.responses).map(([status, answer]) => [
    status,
    answer.$ref ? components.responses[answer.$ref.split('/').at(-1)] : answer,
  ])
  return { ...operation, responses: Object.fromEntries(responses) }
}

// What the viewer shows of an operation: one form of each body, and of refusals what they mean.
function slim(operation) {
  const first = (content) => content && Object.fromEntries(Object.entries(content).slice(0, 1))
  const { requestBody: body, responses } = operation
  // A FHIR body shows the fields of its answer too.
  const shown = (status) => status < '400' && !(body && operation.tags.includes('FHIR R4'))
  return {
    ...operation,
    ...(body && { requestBody: { ...body, content: operation.operationId.startsWith('patch') ? body.content : first(body.content) } }),
    responses: Object.fromEntries(
      Object.entries(responses).map(([status, answer]) => [status, shown(status) ? answer : withoutContent(answer)]),
    ),
  }
}

function partOf(whole, part) {
  const paths = {}
  for (const [path, item] of Object.entries(whole.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!belongs(part, path, operation)) continue
      const copy = inline(slim(resolve(operation, whole.components)), whole.components)
      // A token that somebody has already is as good as one that the viewer gets.
      if (copy.security.length) copy.security = [...copy.security, { token: [] }]
      ;(paths[path] ??= {})[method] = copy
    }
  }
  const { clientCredentials } = whole.components.securitySchemes.oauth2.flows
  const tokenUrl = new URL(new URL(clientCredentials.tokenUrl, location).pathname, location.origin).href
  const securitySchemes = {
    token: { type: 'http', scheme: 'bearer', description: 'An access token.' },
    oauth2: {
      type: 'oauth2',
      description: 'A token for a client, by its id and secret.',
      flows: { clientCredentials: { ...clientCredentials, tokenUrl } },
    },
  }
  // Where this page came from: the policy of the page lets it call no other place.
  const tags = whole.tags.filter(({ name }) => name === part)
  return { ...whole, servers: [{ url: location.origin }], tags, paths, components: { securitySchemes } }
}

async function start() {
  const scheme = matchMedia('(prefers-color-scheme: dark)')
  const paint = () => document.documentElement.classList.toggle('dark-mode', scheme.matches)
  scheme.addEventListener('change', paint)
  paint()

  const whole = await (await fetch('/openapi.json')).json()
  const links = [...document.querySelectorAll('nav a[data-part]')]
  const asked = () => {
    const part = new URLSearchParams(location.search).get('part')
    return links.some((link) => link.dataset.part === part) ? part : links[0].dataset.part
  }
  const mark = (part) => {
    for (const link of links) {
      if (link.dataset.part === part) link.setAttribute('aria-current', 'page')
      else link.removeAttribute('aria-current')
    }
  }
  const ui = SwaggerUIBundle({
    spec: partOf(whole, asked()),
    dom_id: '#viewer',
    docExpansion: 'list',
    defaultModelsExpandDepth: -1,
    tryItOutEnabled: true,
    validatorUrl: null,
  })
  mark(asked())
  const show = () => {
    ui.specActions.updateJsonSpec(partOf(whole, asked()))
    mark(asked())
  }
  for (const link of links) {
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      // Without loading the page again: a token that was entered stays.
      history.pushState(null, '', link.href)
      show()
    })
  }
  addEventListener('popstate', show)
}

start()
