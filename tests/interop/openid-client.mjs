// Goes through the flows of OAuth2 with openid-client: node openid-client.mjs <issuer> <id> <secret> <redirect>
// Prints the address for the person, reads where the person came back to, and prints what it got.
import * as client from "openid-client";
import { once } from "node:events";
import { createInterface } from "node:readline";

const [issuer, id, secret, redirect] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin });
const config = await client.discovery(new URL(issuer), id, secret, client.ClientSecretPost(secret), {
  algorithm: "oauth2",
  execute: [client.allowInsecureRequests],
});
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const address = client.buildAuthorizationUrl(config, {
  redirect_uri: redirect,
  scope: "read offline_access",
  state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
});
console.log(JSON.stringify({ address: address.href }));
const [back] = await once(lines, "line");

const first = await client.authorizationCodeGrant(config, new URL(back), {
  pkceCodeVerifier: verifier,
  expectedState: state,
});
const second = await client.refreshTokenGrant(config, first.refresh_token);
const robot = await client.clientCredentialsGrant(config, { scope: "read" });
const before = await client.tokenIntrospection(config, second.access_token);
await client.tokenRevocation(config, second.refresh_token);
const after = await client.tokenIntrospection(config, second.access_token);
const begun = await client.initiateDeviceAuthorization(config, { scope: "read" });
console.log(JSON.stringify({ first, second, robot, active: [before.active, after.active], user_code: begun.user_code }));
await once(lines, "line"); // the person has typed the code
console.log(JSON.stringify(await client.pollDeviceAuthorizationGrant(config, begun)));
process.exit(0);
