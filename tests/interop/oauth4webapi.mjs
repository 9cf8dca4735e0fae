// Goes through the flows of OAuth2 with oauth4webapi: node oauth4webapi.mjs <issuer> <id> <secret> <redirect>
// Prints the address for the person, reads where the person came back to, and prints what it got.
import * as oauth from "oauth4webapi";
import { once } from "node:events";
import { createInterface } from "node:readline";

const [issuer, client_id, secret, redirect] = process.argv.slice(2);
const insecure = { [oauth.allowInsecureRequests]: true };
const lines = createInterface({ input: process.stdin });
const url = new URL(issuer);
const server = await oauth.processDiscoveryResponse(
  url,
  await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure }),
);
const client = { client_id };
const proof = oauth.ClientSecretBasic(secret);

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const address = new URL(server.authorization_endpoint);
const asked = { client_id, redirect_uri: redirect, response_type: "code", scope: "read offline_access", state };
const pkce = { code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256" };
for (const [name, value] of Object.entries({ ...asked, ...pkce })) address.searchParams.set(name, value);
console.log(JSON.stringify({ address: address.href }));
const [back] = await once(lines, "line");

const answer = oauth.validateAuthResponse(server, client, new URL(back), state);
const codes = await oauth.authorizationCodeGrantRequest(server, client, proof, answer, redirect, verifier, insecure);
const first = await oauth.processAuthorizationCodeResponse(server, client, codes);
const refreshing = await oauth.refreshTokenGrantRequest(server, client, proof, first.refresh_token, insecure);
const second = await oauth.processRefreshTokenResponse(server, client, refreshing);
const own = await oauth.clientCredentialsGrantRequest(server, client, proof, { scope: "read" }, insecure);
const robot = await oauth.processClientCredentialsResponse(server, client, own);
const asking = await oauth.introspectionRequest(server, client, proof, second.access_token, insecure);
const before = await oauth.processIntrospectionResponse(server, client, asking);
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, proof, second.refresh_token, insecure),
);
const again = await oauth.introspectionRequest(server, client, proof, second.access_token, insecure);
const after = await oauth.processIntrospectionResponse(server, client, again);
const begun = await oauth.processDeviceAuthorizationResponse(
  server,
  client,
  await oauth.deviceAuthorizationRequest(server, client, proof, { scope: "read" }, insecure),
);
console.log(JSON.stringify({ first, second, robot, active: [before.active, after.active], user_code: begun.user_code }));
await once(lines, "line"); // the person has typed the code
const polled = await oauth.deviceCodeGrantRequest(server, client, proof, begun.device_code, insecure);
console.log(JSON.stringify(await oauth.processDeviceCodeResponse(server, client, polled)));
process.exit(0);
