// Initiates the replica set and makes the user of the roles, where that is still to do.
// For `mongosh --nodb`; may run again at any time. Ends with an error when it cannot.

const SET = "rs0";
const HOST = "mongo:27017";
const DATABASE = "photo_pipeline";
const USER = "photo-pipeline";
const PATIENCE_MS = 120_000; // the first start of a server, on a slow machine

const URL =
  `mongodb://root:${encodeURIComponent(process.env.MONGO_ROOT_PASSWORD)}@${HOST}/admin` +
  "?directConnection=true";
const AUTHENTICATION_FAILED = 18;

const deadline = Date.now() + PATIENCE_MS;

// The shell does not wait for a server that is still starting. A wrong password is final.
let admin;
while (!admin) {
  try {
    admin = connect(URL);
  } catch (error) {
    if (error.code === AUTHENTICATION_FAILED || Date.now() > deadline) throw error;
    sleep(200);
  }
}

try {
  admin.adminCommand({ replSetInitiate: { _id: SET, members: [{ _id: 0, host: HOST }] } });
  print("replica set initiated");
} catch (error) {
  if (error.codeName !== "AlreadyInitialized") throw error;
}

while (!admin.hello().isWritablePrimary) {
  if (Date.now() > deadline) throw new Error("the replica set has no primary");
  sleep(100);
}

// No more than the roles need; an existing user gets the password that the roles will give.
const user = { pwd: process.env.MONGO_PASSWORD, roles: [{ role: "readWrite", db: DATABASE }] };
const database = admin.getSiblingDB(DATABASE);
if (database.getUser(USER)) {
  database.updateUser(USER, user);
} else {
  database.createUser({ user: USER, ...user });
  print("user made");
}
