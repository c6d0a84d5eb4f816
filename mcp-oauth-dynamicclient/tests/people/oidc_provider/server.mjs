// A real OpenID provider on loopback: node server.mjs FOLDER CLIENT_ID CLIENT_SECRET REDIRECT_URI
// FOLDER holds node_modules. Prints its issuer. Anybody signs in as whoever they say, with any password.
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(folder, 'node_modules/oidc-provider/lib/index.js')));

const people = {
  grace: { email: 'grace@example.com', email_verified: true, name: 'Grace', preferred_username: 'grace', groups: ['navy'] },
  mallory: { email: 'grace@example.com', email_verified: false, name: 'Not Grace', preferred_username: 'grace' },
};

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] }],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    scopes: ['openid', 'email', 'profile', 'groups'],
    cookies: { keys: ['only for tests'] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
