// A real OpenID provider on loopback: node server.mjs FOLDER CLIENT_ID CLIENT_SECRET REDIRECT_URI
// FOLDER holds node_modules. Prints its issuer. Anybody signs in as whoever they say, with any password.
// POST /control/{disable,enable}/NAME, /control/{down,up} and /control/{join,leave}/NAME/GROUP change what it says.
// A second client, CLIENT_ID-once, gets no refresh tokens.
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(folder, 'node_modules/oidc-provider/lib/index.js')));

const people = {
  grace: { email: 'grace@example.com', email_verified: true, name: 'Grace', preferred_username: 'grace', groups: ['navy'] },
  mallory: { email: 'grace@example.com', email_verified: false, name: 'Not Grace', preferred_username: 'grace' },
};

const disabled = new Set();
let down = false;

function control(request, response) {
  const [, , what, who, group] = request.url.split('/');
  if (what === 'disable') disabled.add(who);
  if (what === 'enable') disabled.delete(who);
  if (what === 'down' || what === 'up') down = what === 'down';
  if (what === 'join') people[who].groups = [...people[who].groups, group];
  if (what === 'leave') people[who].groups = people[who].groups.filter((name) => name !== group);
  response.end();
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
      },
      { client_id: `${clientId}-once`, client_secret: clientSecret, redirect_uris: [redirectUri] },
    ],
    issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: { IdToken: 90 * 86400 }, // the tests' clock runs ahead
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    scopes: ['openid', 'email', 'profile', 'groups', 'offline_access'],
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    findAccount: (_, id) => (disabled.has(id) ? undefined : { accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (request.url.startsWith('/control/')) return control(request, response);
    if (down) return response.writeHead(503).end();
    return answer(request, response);
  });
  console.log(issuer);
});
