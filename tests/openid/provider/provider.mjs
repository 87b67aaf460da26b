// A certified OpenID provider for the tests, on a port of its own. Its settings come as JSON in the first argument:
// clients, the algorithm of id tokens, and whether they hold the claims of a user (else the userinfo endpoint does).
// It signs anybody in under the subject and the name that the form brings, and tells its issuer in one line when it is up.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const names = new Map();

const jwk = (type, options, alg) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid: alg.toLowerCase(), alg, use: 'sig' };
};

const server = createServer();
server.listen(settings.port, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: settings.clients,
  jwks: { keys: [jwk('rsa', { modulusLength: 2048 }, 'RS256'), jwk('ec', { namedCurve: 'P-256' }, 'ES256')] },
  claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'] },
  conformIdTokenClaims: !settings.claims_in_id_token,
  clientAuthMethods: settings.auth_methods ?? ['client_secret_basic', 'client_secret_post', 'none'],
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'HS256'] },
  cookies: { keys: ['a key of a test'] },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = form; },
    },
  },
  findAccount: (ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, preferred_username: names.get(sub), email: `${sub}@example.org` }),
  }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  // whoever signs in has agreed
  loadExistingGrant: async (ctx) => {
    const known = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (known) return ctx.oidc.provider.Grant.find(known);
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid email profile');
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 300, IdToken: 300, Interaction: 300, Session: 300 },
});

const interact = async (request, response) => {
  if (request.method === 'GET') {
    response.setHeader('Content-Type', 'text/html');
    response.end('<form method="post"><input name="sub"><input name="name"><input name="denied"></form>');
    return;
  }
  const chunks = await request.toArray();
  const form = new URLSearchParams(Buffer.concat(chunks).toString());
  names.set(form.get('sub'), form.get('name'));
  const result = form.get('denied')
    ? { error: 'access_denied', error_description: 'not today' }
    : { login: { accountId: form.get('sub') } };
  await provider.interactionFinished(request, response, result);
};

const handle = provider.callback();
server.on('request', (request, response) => {
  const serve = request.url.startsWith('/interaction/') ? interact : handle;
  Promise.resolve(serve(request, response)).catch((error) => {
    console.error(error);
    response.statusCode = 500;
    response.end();
  });
});
console.log(issuer);
